//! The format of recordings. A file is a head and chunks, each with its length
//! and a checksum, so that a file that was cut off is good up to there:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `execlat\n` |
//! | 4 + 4 | version of this format; version of the record layout (`execlat.h`) |
//! | 4 + 4 + 4 | a chunk: kind, length of its payload, CRC-32 of the payload |
//! | … | the payload |
//!
//! Numbers are little-endian, as are the kernel's records on the machines that
//! are supported. Kinds: `ABOUT` (JSON, first), `ROUND` (horizon, wall offset,
//! records), `ALIVE` (time, processes), `NAMES` (JSON: containers by id, before the
//! records about them), `PLACES` (JSON: where containers are), `END` (JSON, last).

use std::io::{self, ErrorKind, Read, Write};

use anyhow::{Context as _, Result, bail};

use crate::event::ProcessId;
use crate::source::{About, Alive, Batch, ContainerName, Ending, Places};
use crate::wire;

const MAGIC: &[u8; 8] = b"execlat\n";
/// Version of the format.
pub const VERSION: u32 = 2;
/// No chunk is longer; a longer length is damage.
const CHUNK_MAX_BYTES: u32 = 1 << 30;

const ABOUT: u32 = 1;
const ROUND: u32 = 2;
const ALIVE: u32 = 3;
const END: u32 = 4;
const NAMES: u32 = 5;
const PLACES: u32 = 6;

/// Bytes of a chunk's kind, length and checksum.
const CHUNK_HEAD_BYTES: usize = 12;
/// Bytes before the first chunk.
const FILE_HEAD_BYTES: usize = 16;

/// Writes a recording.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    payload: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut out: W, about: &About) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&wire::VERSION.to_le_bytes())?;
        let mut writer = Writer {
            out,
            payload: serde_json::to_vec(about)?,
        };
        writer.chunk(ABOUT)?;
        Ok(writer)
    }

    fn chunk(&mut self, kind: u32) -> io::Result<()> {
        let length = u32::try_from(self.payload.len()).map_err(|_| ErrorKind::FileTooLarge)?;
        let mut head = [0; CHUNK_HEAD_BYTES];
        head[..4].copy_from_slice(&kind.to_le_bytes());
        head[4..8].copy_from_slice(&length.to_le_bytes());
        head[8..].copy_from_slice(&crc32fast::hash(&self.payload).to_le_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(&self.payload)?;
        self.out.flush()
    }

    /// Adds a batch. One without records can matter too: its horizon lets out what
    /// an earlier one brought.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn batch(&mut self, batch: &Batch) -> io::Result<()> {
        if !batch.names.is_empty() {
            self.payload = serde_json::to_vec(&batch.names)?;
            self.chunk(NAMES)?;
        }
        if !batch.places.is_empty() {
            self.payload = serde_json::to_vec(&batch.places)?;
            self.chunk(PLACES)?;
        }
        self.payload.clear();
        self.payload.extend(batch.horizon_ns.to_le_bytes());
        self.payload.extend(batch.wall_offset_ns.to_le_bytes());
        self.payload.extend(&batch.bytes);
        self.chunk(ROUND)?;
        if let Some(alive) = &batch.alive {
            self.payload.clear();
            self.payload.extend(alive.seen_ns.to_le_bytes());
            for process in &alive.processes {
                self.payload.extend(process.tgid.to_le_bytes());
                self.payload.extend(process.start_ns.to_le_bytes());
            }
            self.chunk(ALIVE)?;
        }
        Ok(())
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(&mut self, ending: &Ending) -> io::Result<()> {
        self.payload = serde_json::to_vec(ending)?;
        self.chunk(END)
    }
}

/// What a chunk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Records of a round.
    Round(Batch),
    /// A look at all processes.
    Alive(Alive),
    /// Names of containers.
    Names(Vec<ContainerName>),
    /// Places of containers.
    Places(Places),
    /// The end.
    End(Ending),
}

/// Why reading a recording stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub what: &'static str,
    /// Bytes read that could not be used.
    pub bytes: u64,
}

/// Reads a recording.
#[derive(Debug)]
pub struct Reader<R: Read> {
    input: R,
    /// What the recording says about its source.
    pub about: About,
    payload: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Opens a recording.
    ///
    /// # Errors
    /// It is empty, no recording, of a newer version, or cut off in its head.
    pub fn new(mut input: R) -> Result<Self> {
        let mut head = Vec::new();
        let length = FILE_HEAD_BYTES as u64;
        (&mut input)
            .take(length)
            .read_to_end(&mut head)
            .context("cannot read it")?;
        if head.is_empty() {
            bail!("it is empty");
        }
        if !head.starts_with(&MAGIC[..head.len().min(MAGIC.len())]) {
            bail!("it is not a recording of execlat");
        }
        if head.len() < FILE_HEAD_BYTES {
            bail!("it is cut off in its head");
        }
        for (at, known, what) in [(8, VERSION, "format"), (12, wire::VERSION, "record layout")] {
            let version = le32(&head[at..]);
            if version != known {
                let made = if version > known {
                    "a newer"
                } else {
                    "an older"
                };
                bail!("it was made by {made} execlat ({what} {version}, this one reads {known})");
            }
        }
        let mut reader = Reader {
            input,
            about: About::default(),
            payload: Vec::new(),
        };
        match reader.raw_chunk() {
            Ok(Some(ABOUT)) => {}
            Ok(Some(_)) => bail!("it does not say what it was made on"),
            Ok(None) => bail!("it is cut off in its head"),
            Err(damage) => bail!("{} in its head", damage.what),
        }
        reader.about = serde_json::from_slice(&reader.payload)
            .context("what it says about its host is not readable")?;
        Ok(reader)
    }

    /// The next chunk; `None` at the end of the file.
    ///
    /// # Errors
    /// The file is cut off or damaged here: what came before is good.
    pub fn chunk(&mut self) -> Result<Option<Chunk>, Damage> {
        let Some(kind) = self.raw_chunk()? else {
            return Ok(None);
        };
        let bytes = (self.payload.len() + CHUNK_HEAD_BYTES) as u64;
        let bad = |what| Damage { what, bytes };
        let chunk = match kind {
            ROUND => take_round(&mut self.payload).map(Chunk::Round),
            ALIVE => parse_alive(&self.payload).map(Chunk::Alive),
            NAMES => serde_json::from_slice(&self.payload).ok().map(Chunk::Names),
            PLACES => serde_json::from_slice(&self.payload)
                .ok()
                .map(Chunk::Places),
            END => serde_json::from_slice(&self.payload).ok().map(Chunk::End),
            _ => return Err(bad("a part of it is of an unknown kind")),
        };
        chunk
            .map(Some)
            .ok_or_else(|| bad("a part of it has no meaning"))
    }

    /// Gives back the buffer of an earlier round, to be read into: each new one of that
    /// size has its pages faulted in.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        self.payload = buffer;
    }

    /// Reads a chunk into `payload`. Never allocates by a length that was read.
    fn raw_chunk(&mut self) -> Result<Option<u32>, Damage> {
        let mut head = Vec::with_capacity(CHUNK_HEAD_BYTES);
        self.payload.clear();
        read_up_to(&mut self.input, CHUNK_HEAD_BYTES as u64, &mut head)?;
        if head.is_empty() {
            return Ok(None);
        }
        if head.len() < CHUNK_HEAD_BYTES {
            let bytes = head.len() as u64;
            let what = "it is cut off";
            return Err(Damage { what, bytes });
        }
        let (kind, length, crc) = (le32(&head), le32(&head[4..]), le32(&head[8..]));
        if length <= CHUNK_MAX_BYTES {
            read_up_to(&mut self.input, u64::from(length), &mut self.payload)?;
        }
        let bytes = (self.payload.len() + CHUNK_HEAD_BYTES) as u64;
        if length > CHUNK_MAX_BYTES {
            let what = "a length in it is damaged";
            return Err(Damage { what, bytes });
        }
        if self.payload.len() as u64 != u64::from(length) {
            let what = "it is cut off";
            return Err(Damage { what, bytes });
        }
        if crc32fast::hash(&self.payload) != crc {
            let what = "a checksum in it is wrong";
            return Err(Damage { what, bytes });
        }
        Ok(Some(kind))
    }

    /// What it is read from.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// How many bytes follow; none of them is used.
    pub fn skip_rest(&mut self) -> u64 {
        io::copy(&mut self.input, &mut io::sink()).unwrap_or(0)
    }
}

fn read_up_to(input: &mut impl Read, bytes: u64, out: &mut Vec<u8>) -> Result<(), Damage> {
    match input.take(bytes).read_to_end(out) {
        Ok(_) => Ok(()),
        Err(_) => Err(Damage {
            what: "it cannot be read on",
            bytes: out.len() as u64,
        }),
    }
}

fn le32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |word| u32::from_le_bytes(*word))
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*word))
}

fn take_round(payload: &mut Vec<u8>) -> Option<Batch> {
    let mut rest = &payload[..];
    let horizon_ns = take_u64(&mut rest)?;
    let wall_offset_ns = take_u64(&mut rest)? as i64;
    let fixed = payload.len() - rest.len();
    payload.drain(..fixed);
    Some(Batch {
        horizon_ns,
        wall_offset_ns,
        bytes: std::mem::take(payload),
        ..Batch::default()
    })
}

fn parse_alive(mut payload: &[u8]) -> Option<Alive> {
    let seen_ns = take_u64(&mut payload)?;
    let (entries, rest) = payload.as_chunks::<12>();
    rest.is_empty().then(|| Alive {
        seen_ns,
        processes: entries
            .iter()
            .map(|entry| ProcessId {
                tgid: le32(entry),
                start_ns: take_u64(&mut &entry[4..]).unwrap_or(0),
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests;
