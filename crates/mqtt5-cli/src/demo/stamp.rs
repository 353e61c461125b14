//! The payload of a message of the demonstration: it says which one it is, and every byte of it can be checked.

/// What a payload says about its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run that it belongs to.
    pub(crate) run: u64,
    /// Its number in the run, from 0.
    pub(crate) sequence: u64,
    /// When it was published, in nanoseconds of the run's stopwatch.
    pub(crate) sent_at: u64,
}

impl Stamp {
    /// Fills a payload of at least [`MINIMUM_SIZE`] bytes: the three numbers, and bytes that follow from them.
    pub(crate) fn write(&self, payload: &mut [u8]) {
        let mut words = self.words();
        for chunk in payload.chunks_mut(WORD) {
            let word = words.next().unwrap_or_default().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// Reads a payload; `None` when a single bit of it is not as it was written.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        if payload.len() < MINIMUM_SIZE {
            return None;
        }
        let word = |at: usize| {
            let bytes = payload.get(at * WORD..(at + 1) * WORD)?;
            bytes.try_into().ok().map(u64::from_le_bytes)
        };
        let stamp = Self {
            run: word(0)?,
            sequence: word(1)?,
            sent_at: word(2)?,
        };
        let intact = payload
            .chunks(WORD)
            .zip(stamp.words())
            .all(|(chunk, word)| word.to_le_bytes().starts_with(chunk));
        intact.then_some(stamp)
    }

    /// The numbers, followed by an endless sequence that depends on every bit of them.
    fn words(&self) -> impl Iterator<Item = u64> {
        let numbers = [self.run, self.sequence, self.sent_at];
        let mut state = numbers.iter().fold(0, |state, &number| mix(state ^ number));
        let filling = std::iter::repeat_with(move || {
            state = state.wrapping_add(INCREMENT);
            mix(state)
        });
        numbers.into_iter().chain(filling)
    }
}

/// The finisher of SplitMix64: a bijection, so that different states stay different.
const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;
const WORD: usize = 8;
/// The three numbers, and one word that only follows from all of them.
pub(crate) const MINIMUM_SIZE: usize = 4 * WORD;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run: 7,
        sequence: 300,
        sent_at: 5_000_000_000,
    };

    fn written(size: usize) -> Vec<u8> {
        let mut payload = vec![0; size];
        STAMP.write(&mut payload);
        payload
    }

    #[test]
    fn what_was_written_is_read() {
        for size in [32, 33, 39, 40, 256, 1_000] {
            assert_eq!(Stamp::read(&written(size)), Some(STAMP), "{size} bytes");
        }
    }

    #[test]
    fn every_changed_bit_is_found() {
        for size in [MINIMUM_SIZE, 61] {
            for bit in 0..size * 8 {
                let mut payload = written(size);
                payload[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Stamp::read(&payload), None, "bit {bit} of {size} bytes");
            }
        }
    }

    #[test]
    fn other_payloads_are_not_read() {
        for payload in [
            &[][..],
            &[0; 31],
            &[0; 256],
            &written(64)[..31],
            &written(64)[1..],
        ] {
            assert_eq!(Stamp::read(payload), None);
        }
    }
}
