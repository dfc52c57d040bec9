//! Keys out of the bytes that a terminal sends for them.

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character, or a control character as such.
    Char(u8),
    /// Escape alone.
    Escape,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first line.
    Home,
    /// To the last line.
    End,
}

const ESCAPE: u8 = 0x1b;

/// Where in a sequence it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Start,
    /// After an escape.
    Escape,
    /// In a control sequence, with its first number.
    Sequence(u8),
    /// In a control sequence, beyond its first number.
    Rest(u8),
    /// After an escape and an O, as arrows are in application mode.
    Shift,
}

/// Takes bytes as they come; a sequence may come in parts.
#[derive(Debug, Default)]
pub struct Decoder {
    at: At,
}

impl Decoder {
    /// The next byte; a key, if it ends one. What is unknown is passed over.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        let (at, key) = match (self.at, byte) {
            (At::Start | At::Escape, ESCAPE) => (At::Escape, self.idle()),
            (At::Start, byte) => (At::Start, byte.is_ascii().then_some(Key::Char(byte))),
            (At::Escape, b'[') => (At::Sequence(0), None),
            (At::Escape, b'O') => (At::Shift, None),
            // With Alt: not the key by itself.
            (At::Escape, _) => (At::Start, None),
            (At::Sequence(number), b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(byte - b'0');
                (At::Sequence(number), None)
            }
            (At::Sequence(number) | At::Rest(number), 0x20..=0x3f) => (At::Rest(number), None),
            (At::Sequence(number) | At::Rest(number), byte) => (At::Start, named(byte, number)),
            (At::Shift, byte) => (At::Start, named(byte, 0)),
        };
        self.at = at;
        key
    }

    /// Nothing came for a while: an escape that waits was the key.
    pub fn idle(&mut self) -> Option<Key> {
        let alone = self.at == At::Escape;
        self.at = if alone { At::Start } else { self.at };
        alone.then_some(Key::Escape)
    }
}

/// The key of a sequence by its last byte and first number, as xterm, the Linux
/// console and rxvt have them.
fn named(last: u8, number: u8) -> Option<Key> {
    Some(match (last, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 5) => Key::PageUp,
        (b'~', 6) => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        let mut keys: Vec<Key> = bytes.iter().filter_map(|b| decoder.push(*b)).collect();
        keys.extend(decoder.idle());
        keys
    }

    #[test]
    fn characters_are_keys() {
        assert_eq!(keys(b"q1"), [Key::Char(b'q'), Key::Char(b'1')]);
        assert_eq!(keys(b"\x0c"), [Key::Char(0x0c)]);
        assert_eq!(keys("é".as_bytes()), []);
    }

    #[test]
    fn sequences_are_one_key() {
        assert_eq!(keys(b"\x1b[A\x1bOB"), [Key::Up, Key::Down]);
        assert_eq!(keys(b"\x1b[5~\x1b[6~"), [Key::PageUp, Key::PageDown]);
        assert_eq!(keys(b"\x1b[1~\x1b[F"), [Key::Home, Key::End]);
        // With Ctrl.
        assert_eq!(keys(b"\x1b[1;5Cx"), [Key::Right, Key::Char(b'x')]);
        assert_eq!(keys(b"\x1b[200~q"), [Key::Char(b'q')]);
        assert_eq!(keys(b"\x1bqx"), [Key::Char(b'x')]);
    }

    #[test]
    fn an_escape_alone_is_known_when_nothing_follows() {
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Escape, Key::Up]);
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(ESCAPE), None);
        assert_eq!(decoder.push(b'['), None);
        // The rest comes later.
        assert_eq!(decoder.idle(), None);
        assert_eq!(decoder.push(b'A'), Some(Key::Up));
    }
}
