//! Random numbers that are a function of a seed, on every machine and in every version.

use core::time::Duration;

/// SplitMix64: small, fast, and good enough for choosing what happens.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator of its own for one part of a run, so that what is added to one part leaves the others alone.
    pub(crate) fn fork(seed: u64, part: u64) -> Self {
        let mut random = Self(seed ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        random.next();
        Self(random.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Both ends are possible.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Both ends are possible; whole milliseconds.
    pub(crate) fn millis(&mut self, low: usize, high: usize) -> Duration {
        Duration::from_millis(self.between(low, high) as u64)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// Picks by weight.
    pub(crate) fn weigh<T: Clone>(&mut self, choices: &[(usize, T)]) -> T {
        let total = choices.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(total);
        for (weight, choice) in choices {
            if at < *weight {
                return choice.clone();
            }
            at -= weight;
        }
        unreachable!("the weights add up")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        let mut random = Random(1);
        assert_eq!(random.next(), 0x910A_2DEC_8902_5CC1);
        assert_ne!(Random::fork(1, 1).next(), Random::fork(1, 2).next());
    }

    #[test]
    fn weights_are_kept() {
        let mut random = Random(2);
        let picked: Vec<char> = (0..1_000)
            .map(|_| random.weigh(&[(1, 'a'), (9, 'b'), (0, 'c')]))
            .collect();
        let count = |c| picked.iter().filter(|p| **p == c).count();
        assert!((50..200).contains(&count('a')) && count('c') == 0);
    }
}
