//! A source of numbers.

/// xorshift64*: the same seed gives the same numbers on every machine.
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    /// Any number.
    pub fn any(&mut self) -> i64 {
        self.next() as i64
    }

    /// One of these.
    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// One of these, if there are any.
    pub fn one_of<'a, T>(&mut self, from: impl IntoIterator<Item = &'a T>) -> Option<&'a T> {
        let from: Vec<&T> = from.into_iter().collect();
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
