//! What is looked at and how, and what each key changes of that. Pure.

use super::column::{self, Column};
use super::keys::Key;
use crate::label::Key as GroupKey;

/// The keys and what they do, for the help and the manual.
pub const KEYS: [(&str, &str); 11] = [
    ("q", "quit, as Ctrl-C does; the summary follows"),
    ("h ?", "this help"),
    ("p space", "pause: the screen stands still, tracing goes on"),
    (
        "1 … 9",
        "sort by that column; once more: the other way round",
    ),
    ("← → < >", "sort by the column beside"),
    ("r", "the other way round"),
    ("g G", "group by the next key, or the one before"),
    ("z", "begin the figures of the groups anew"),
    ("b", "hide what ran before tracing began, or show it"),
    ("i", "groups and what is in flight, or one of them alone"),
    ("↑ ↓ k j", "scroll; so do PgUp, PgDn, Home and End"),
];

/// The keys of groups, in the order in which `g` goes through them.
const GROUPINGS: [GroupKey; 8] = [
    GroupKey::Action,
    GroupKey::Comm,
    GroupKey::Container,
    GroupKey::Name,
    GroupKey::Cgroup,
    GroupKey::Code,
    GroupKey::Argv0,
    GroupKey::None,
];

const CTRL_L: u8 = 0x0c;
const CTRL_Z: u8 = 0x1a;

/// What is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// Groups, and what is in flight below.
    Both,
    /// What is in flight alone.
    InFlight,
    /// Groups alone.
    Groups,
}

/// How far can be scrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Lines that can be scrolled past at most.
    pub most: usize,
    /// Lines that are seen at once.
    pub page: usize,
}

/// How it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What is grouped by.
    pub by: GroupKey,
    /// What is sorted by.
    pub sort: Column,
    /// The other way round.
    pub reverse: bool,
    /// The screen stands still.
    pub paused: bool,
    /// The help is shown.
    pub help: bool,
    /// What ran before tracing began is not shown.
    pub hide_before: bool,
    /// What is shown.
    pub pane: Pane,
    /// Lines that are scrolled past.
    pub first: usize,
}

/// What is to be done about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// It looks different now.
    Draw,
    /// Everything is to be painted, whatever the terminal shows.
    Repaint,
    /// It ends.
    Quit,
    /// The process stops, and the shell has the terminal.
    Suspend,
    /// `by` has changed.
    Regroup,
    /// The figures begin anew.
    Anew,
}

impl State {
    /// As it begins.
    pub fn new(by: GroupKey) -> State {
        State {
            by,
            sort: Column::Count,
            reverse: false,
            paused: false,
            help: false,
            hide_before: false,
            pane: Pane::Both,
            first: 0,
        }
    }

    /// Obeys a key.
    pub fn apply(&mut self, key: Key, room: Room) -> Effect {
        let was = self.clone();
        match key {
            Key::Char(b'q' | b'Q') => return Effect::Quit,
            Key::Char(CTRL_Z) => return Effect::Suspend,
            Key::Char(CTRL_L) => return Effect::Repaint,
            // Any other key takes the help away.
            _ if self.help => self.help = false,
            Key::Char(b'h' | b'H' | b'?') => self.help = true,
            Key::Char(b'p' | b' ') => self.paused = !self.paused,
            Key::Char(digit @ b'1'..=b'9') => self.sort_by(column::ALL[usize::from(digit - b'1')]),
            Key::Left | Key::Char(b'<') => self.sort_beside(column::ALL.len() - 1),
            Key::Right | Key::Char(b'>') => self.sort_beside(1),
            Key::Char(b'r') => self.reverse = !self.reverse,
            Key::Char(b'g') => return self.group_by(1),
            Key::Char(b'G') => return self.group_by(GROUPINGS.len() - 1),
            Key::Char(b'z') => {
                self.paused = false;
                return Effect::Anew;
            }
            Key::Char(b'b') => self.hide_before = !self.hide_before,
            Key::Char(b'i') => self.next_pane(),
            Key::Up | Key::Char(b'k') => self.scroll_to(self.first.saturating_sub(1), room),
            Key::Down | Key::Char(b'j') => self.scroll_to(self.first + 1, room),
            Key::PageUp => self.scroll_to(self.first.saturating_sub(room.page), room),
            Key::PageDown => self.scroll_to(self.first.saturating_add(room.page), room),
            Key::Home => self.scroll_to(0, room),
            Key::End => self.scroll_to(room.most, room),
            Key::Char(_) | Key::Escape => {}
        }
        match *self == was {
            true => Effect::Nothing,
            false => Effect::Draw,
        }
    }

    fn scroll_to(&mut self, line: usize, room: Room) {
        self.first = line.min(room.most);
    }

    fn sort_by(&mut self, column: Column) {
        self.reverse = self.sort == column && !self.reverse;
        self.sort = column;
        self.first = 0;
    }

    fn sort_beside(&mut self, steps: usize) {
        let at = column::ALL.iter().position(|column| *column == self.sort);
        let at = (at.unwrap_or(0) + steps) % column::ALL.len();
        self.sort = column::ALL[at];
        self.reverse = false;
        self.first = 0;
    }

    fn group_by(&mut self, steps: usize) -> Effect {
        let at = GROUPINGS.iter().position(|key| *key == self.by);
        self.by = GROUPINGS[(at.unwrap_or(0) + steps) % GROUPINGS.len()];
        self.first = 0;
        // Figures that just begin would stand still at nothing.
        self.paused = false;
        Effect::Regroup
    }

    fn next_pane(&mut self) {
        self.pane = match self.pane {
            Pane::Both => Pane::InFlight,
            Pane::InFlight => Pane::Groups,
            Pane::Groups => Pane::Both,
        };
        self.first = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(keys: &[u8]) -> State {
        let mut state = State::new(GroupKey::Action);
        for key in keys {
            state.apply(Key::Char(*key), Room::default());
        }
        state
    }

    #[test]
    fn columns_are_sorted_by_and_turned_round() {
        assert_eq!(after(b"").sort, Column::Count);
        assert_eq!(
            (after(b"7").sort, after(b"7").reverse),
            (Column::P99, false)
        );
        assert!(after(b"77").reverse && after(b"7r").reverse);
        assert!(!after(b"777").reverse && !after(b"778").reverse);
        assert_eq!(after(b">").sort, Column::Rate);
        assert_eq!(after(b"<").sort, Column::Name);
        assert_eq!(after(b"<<").sort, Column::Trend);
        assert_eq!(after(b"<<>").sort, Column::Name);
    }

    #[test]
    fn groupings_go_round() {
        let mut state = State::new(GroupKey::None);
        assert_eq!(
            state.apply(Key::Char(b'g'), Room::default()),
            Effect::Regroup
        );
        assert_eq!(state.by, GroupKey::Action);
        assert_eq!(
            state.apply(Key::Char(b'G'), Room::default()),
            Effect::Regroup
        );
        assert_eq!(state.by, GroupKey::None);
        for _ in GROUPINGS {
            state.apply(Key::Char(b'g'), Room::default());
        }
        assert_eq!(state.by, GroupKey::None);
    }

    #[test]
    fn help_goes_with_any_key_but_quit() {
        let mut state = after(b"h");
        assert!(state.help);
        assert_eq!(state.apply(Key::Char(b'g'), Room::default()), Effect::Draw);
        assert!(!state.help && state.by == GroupKey::Action);
        let mut state = after(b"?");
        assert_eq!(state.apply(Key::Escape, Room::default()), Effect::Draw);
        assert!(!state.help);
        assert_eq!(
            after(b"h").apply(Key::Char(b'q'), Room::default()),
            Effect::Quit
        );
    }

    #[test]
    fn scrolling_ends_with_the_last_line() {
        let room = Room { most: 23, page: 7 };
        let mut state = State::new(GroupKey::Action);
        assert_eq!(state.apply(Key::Up, room), Effect::Nothing);
        state.apply(Key::Down, room);
        state.apply(Key::PageDown, room);
        assert_eq!(state.first, 8);
        state.apply(Key::End, room);
        assert_eq!(state.first, 23);
        assert_eq!(state.apply(Key::PageDown, room), Effect::Nothing);
        state.apply(Key::Up, room);
        assert_eq!(state.first, 22);
        // There is less than there was.
        let less = Room { most: 5, page: 7 };
        assert_eq!(state.apply(Key::Down, less), Effect::Draw);
        assert_eq!(state.first, 5);
        assert_eq!(state.apply(Key::Home, less), Effect::Draw);
        assert_eq!(state.apply(Key::Down, Room::default()), Effect::Nothing);
    }

    #[test]
    fn the_rest_is_switched() {
        assert!(after(b"p").paused && !after(b"p ").paused);
        assert!(!after(b"pg").paused && !after(b"pz").paused && after(b"p7").paused);
        assert!(after(b"b").hide_before && !after(b"bb").hide_before);
        assert_eq!(after(b"i").pane, Pane::InFlight);
        assert_eq!(after(b"iii").pane, Pane::Both);
        let mut state = after(b"");
        assert_eq!(state.apply(Key::Char(b'z'), Room::default()), Effect::Anew);
        assert_eq!(
            state.apply(Key::Char(CTRL_Z), Room::default()),
            Effect::Suspend
        );
        assert_eq!(
            state.apply(Key::Char(CTRL_L), Room::default()),
            Effect::Repaint
        );
        assert_eq!(
            state.apply(Key::Char(b'y'), Room::default()),
            Effect::Nothing
        );
    }
}
