//! Reading a number of the kernel's memory by a load of its own, where the kernel has `bpf_rdonly_cast` (6.2).
//!
//! The cast costs nothing (the verifier puts a move in its place) and makes any number the address of a structure that the
//! program may load from; where the address is bad, the kernel's exception table makes the load give 0. What
//! is 0 is therefore read again by the helper, which tells a bad address from a 0 that is there.

use regalloc2::VReg;

use super::call::Arg;
use super::{Cx, Val};
use crate::bpf::DirectReads;
use crate::bpf::frame::Mem;
use crate::bpf::insn::{Cond, Size, Src};

impl Cx<'_> {
    /// Reads a number of `size` bytes, zero-extended; `again` reads it if it seems to be 0.
    pub(super) fn read_directly(
        &mut self,
        reads: DirectReads,
        addr: Val,
        size: u8,
        again: impl FnOnce(&mut Self) -> VReg,
    ) -> VReg {
        let word = Arg::Imm(i64::from(reads.word.0));
        let typed = self.call_kernel(reads.cast.0, &[addr.into(), word]);
        let value = self.load(Size::of_bytes(size), Mem::Ptr(typed, 0));
        // The verifier must not tell the two ways apart, or it follows the rest once for each: what is tested is 0
        // where the number is, but is another.
        let tested = self.big_endian(value);
        let (done, result) = self.join();
        let again = self.cold(|cx| {
            let value = again(cx);
            cx.jump(done, vec![value]);
        });
        self.jump_if(Cond::Eq, tested, Src::Imm(0), again);
        self.jump(done, vec![value]);
        self.enter(done);
        result
    }
}
