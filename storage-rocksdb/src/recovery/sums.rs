//! CRC-32C of any range of a block, each in the same small time.
//!
//! Behind a bad record each byte of a block may begin a good one, with any length: a checksum from scratch for each of them
//! would let a few mebibytes of payload keep an opening busy for minutes. The CRC register is linear in what it has taken
//! in, so that of a range follows from those of two prefixes: `R(a..b) = R(0..b) - R(0..a) * x^8(b - a)`, in polynomials modulo
//! the CRC's own.

use std::sync::LazyLock;

use super::scan::BLOCK_BYTES;

/// The CRC's polynomial, as all of them here with the highest power in the lowest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `x^8n` for each `n` up to the length of a block.
static POWERS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    std::iter::successors(Some(1 << 31), |power| Some(shifted(*power))).take(BLOCK_BYTES + 1).collect()
});

/// The registers of all prefixes of one block.
#[derive(Debug)]
pub(super) struct Sums(Vec<u32>);

impl Sums {
    pub(super) fn of(block: &[u8]) -> Sums {
        let step = |register: &mut u32, byte: &u8| {
            *register = shifted(*register ^ u32::from(*byte));
            Some(*register)
        };
        Sums(std::iter::once(0).chain(block.iter().scan(0, step)).collect())
    }

    /// The checksum of the bytes from `from` on, before `to`; none where they do not lie in the block.
    pub(super) fn range(&self, from: usize, to: usize) -> Option<u32> {
        let power = POWERS.get(to.checked_sub(from)?)?;
        Some(!(product(!*self.0.get(from)?, *power) ^ self.0.get(to)?))
    }
}

/// The register, a zero byte later.
fn shifted(register: u32) -> u32 {
    (0..8).fold(register, |register, _| times_x(register))
}

fn product(mut one: u32, mut other: u32) -> u32 {
    let mut product = 0;
    while one != 0 {
        if one & (1 << 31) != 0 {
            product ^= other;
        }
        (one, other) = (one << 1, times_x(other));
    }
    product
}

fn times_x(polynomial: u32) -> u32 {
    let carry = if polynomial & 1 == 1 { POLYNOMIAL } else { 0 };
    (polynomial >> 1) ^ carry
}

#[cfg(test)]
mod tests {
    use crc_fast::{CrcAlgorithm, checksum};

    use super::*;

    #[test]
    fn the_sum_of_any_range_is_its_crc() {
        let mut random = fastrand::Rng::with_seed(1);
        let block: Vec<u8> = (0..BLOCK_BYTES).map(|_| random.u8(..)).collect();
        let sums = Sums::of(&block);
        for nth in 0..2000 {
            let from = random.usize(0..=BLOCK_BYTES);
            let to = if nth % 2 == 0 { random.usize(from..=BLOCK_BYTES) } else { BLOCK_BYTES.min(from + nth / 10) };
            let expected = checksum(CrcAlgorithm::Crc32Iscsi, &block[from..to]);
            assert_eq!(sums.range(from, to).map(u64::from), Some(expected), "{from}..{to}");
        }
        assert_eq!((sums.range(0, BLOCK_BYTES + 1), sums.range(2, 1)), (None, None));
        assert_eq!(Sums::of(b"123456789").range(0, 9), Some(0xe306_9283));
    }
}
