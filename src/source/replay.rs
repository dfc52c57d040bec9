//! A recording as a source: hands over the same bytes as the kernel did.

use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{About, Batch, Ending, Places, Source, Unusable};
use crate::loss::SourceLosses;
use crate::nearest::LeftOut;
use crate::recording::{Chunk, Reader};
use crate::wire;

/// A recording, read from its beginning.
#[derive(Debug)]
pub struct Replay {
    reader: Reader<BufReader<File>>,
    ending: Option<Ending>,
    horizon_ns: u64,
    wall_offset_ns: i64,
    unusable: Option<Unusable>,
    places: Places,
}

impl Replay {
    /// Opens a recording.
    ///
    /// # Errors
    /// It cannot be read, or is none of ours.
    pub fn open(path: &Path) -> Result<Replay> {
        let open = || Reader::new(BufReader::with_capacity(1 << 18, File::open(path)?));
        let reader = open().with_context(|| format!("cannot read recording {}", path.display()))?;
        Ok(Replay {
            horizon_ns: reader.about.began_ns,
            wall_offset_ns: reader.about.wall_offset_ns,
            reader,
            ending: None,
            unusable: None,
            places: Places::default(),
        })
    }

    /// Bytes that are read, and how many there are; not of what is no plain file.
    pub fn position(&mut self) -> Option<(u64, u64)> {
        let file = self.reader.input().get_mut();
        let length = file.metadata().ok()?.len();
        Some((file.stream_position().ok()?, length))
    }

    fn stop_at(&mut self, bytes: u64, what: &str) {
        self.unusable = Some(Unusable {
            why: what.to_owned(),
            bytes: bytes + self.reader.skip_rest(),
            cut: self.ending.is_none(),
        });
    }
}

impl Source for Replay {
    fn about(&self) -> &About {
        &self.reader.about
    }

    fn next(&mut self, batch: &mut Batch) -> Result<bool> {
        self.reader.reuse(std::mem::take(&mut batch.bytes));
        batch.clear();
        match self.reader.chunk() {
            Ok(Some(Chunk::Round(round))) => {
                *batch = round;
                batch.places = std::mem::take(&mut self.places);
                // The last round has none: its records say how far it goes.
                let until_ns = match batch.horizon_ns {
                    u64::MAX => wire::latest_ns(&batch.bytes),
                    horizon_ns => horizon_ns,
                };
                self.horizon_ns = self.horizon_ns.max(until_ns);
                self.wall_offset_ns = batch.wall_offset_ns;
                return Ok(true);
            }
            Ok(Some(Chunk::Alive(alive))) => batch.alive = Some(alive),
            Ok(Some(Chunk::Names(names))) => batch.names = names,
            // They were found beside the round that follows, and count after its events.
            Ok(Some(Chunk::Places(places))) => self.places.append(places),
            Ok(Some(Chunk::End(ending))) => {
                self.ending = Some(ending);
                let rest = self.reader.skip_rest();
                if rest > 0 {
                    self.stop_at(rest, "something follows its end");
                }
                return Ok(false);
            }
            Ok(None) => {
                self.stop_at(0, "it was cut off");
                return Ok(false);
            }
            Err(damage) => {
                self.stop_at(damage.bytes, damage.what);
                return Ok(false);
            }
        }
        // What is no round says nothing of the time.
        batch.horizon_ns = self.horizon_ns;
        batch.wall_offset_ns = self.wall_offset_ns;
        Ok(true)
    }

    fn finish(&mut self, batch: &mut Batch) -> Ending {
        batch.clear();
        // Where it was cut off behind them.
        batch.places = std::mem::take(&mut self.places);
        let horizon_ns = self.horizon_ns;
        let ending = self.ending.take().unwrap_or_else(|| Ending {
            ended_ns: horizon_ns,
            ..Ending::default()
        });
        batch.horizon_ns = u64::MAX;
        batch.wall_offset_ns = self.wall_offset_ns;
        ending
    }

    fn losses(&self) -> SourceLosses {
        self.ending
            .as_ref()
            .map(|e| e.losses.clone())
            .unwrap_or_default()
    }

    fn left_out(&self) -> LeftOut {
        let ending = self.ending.as_ref();
        ending.map(|e| e.left_out.clone()).unwrap_or_default()
    }

    fn unusable(&self) -> Option<Unusable> {
        self.unusable.clone()
    }
}
