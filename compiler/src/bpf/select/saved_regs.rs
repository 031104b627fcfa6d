//! Arguments of system calls: `raw_syscalls` tracepoints have the registers of user space at the address
//! that is their argument 0. To a BTF tracepoint's program that is a pointer whose type verifiers know: they let it
//! load from there, at a tenth of what a helper call costs. Functions of the program have no
//! context: in a program that is divided, the registers are read in its prologue.

use cranelift_entity::SecondaryMap;
use regalloc2::VReg;

use super::Cx;
use crate::bpf::analysis::{Uses, for_each_op};
use crate::bpf::arch;
use crate::bpf::frame::Mem;
use crate::bpf::insn::Size;
use crate::image::Attach;
use crate::lir::{BinOp, Context, Function, Handler, Op, Space, Value};

/// Addresses of saved registers that are only read from: bytes from the start of `struct pt_regs`.
pub type SavedRegs = SecondaryMap<Value, Option<u16>>;

/// Whether argument 0 of the handler's context is the address of the saved registers.
fn has_saved_regs(handler: &Handler) -> bool {
    let is_raw_syscall = |attach: &Attach| match attach {
        Attach::BtfTracepoint { name, .. } => name == "sys_enter" || name == "sys_exit",
        _ => false,
    };
    handler.context == Context::BtfTracepoint
        && handler
            .points
            .iter()
            .all(|point| is_raw_syscall(&point.attach))
}

/// The values of a handler's body that need not be computed: every use is a read that
/// [`Cx::saved_register`] makes.
pub fn find(handler: &Handler, func: &Function, uses: &Uses) -> SavedRegs {
    let mut found = SavedRegs::new();
    if !has_saved_regs(handler) {
        return found;
    }
    // Constants and, for now, all addresses; then how many of their uses are as wanted.
    let mut constants: SecondaryMap<Value, Option<i64>> = SecondaryMap::new();
    let insts = || func.blocks.values().flat_map(|block| &block.insts);
    for inst in insts() {
        match (&inst.op, inst.result) {
            (Op::Const(value), Some(result)) => constants[result] = Some(*value),
            (Op::CtxArg(0), Some(result)) => found[result] = Some(0),
            _ => {}
        }
    }
    let mut good: SecondaryMap<Value, u32> = SecondaryMap::new();
    let mut sums = Vec::new();
    for inst in insts() {
        if let (Op::Bin(BinOp::Add, base, offset), Some(result)) = (&inst.op, inst.result)
            && found[*base] == Some(0)
            && let Some(offset) = constants[*offset].and_then(arch::saved_register)
        {
            sums.push((*base, result));
            found[result] = Some(offset);
        }
    }
    for_each_op(func, |op| {
        if let Op::MemRead {
            addr,
            size: 8,
            space: Space::Kernel,
            ..
        } = op
        {
            good[*addr] += 1;
        }
    });
    for (base, sum) in sums {
        if good[sum] == uses.count[sum] {
            good[base] += 1;
        } else {
            found[sum] = None;
        }
    }
    for value in func.values.keys() {
        if found[value] == Some(0) && good[value] != uses.count[value] {
            found[value] = None;
        }
    }
    found
}

impl Cx<'_> {
    /// What is in a register saved at that offset.
    pub(super) fn saved_register(&mut self, offset: u16) -> Option<VReg> {
        let ctx = self.ctx?;
        let read = |cx: &mut Self| {
            let regs = cx.load(Size::D, Mem::Ptr(ctx, 0));
            cx.load(Size::D, Mem::Ptr(regs, i32::from(offset)))
        };
        if !self.divided {
            return Some(read(self));
        }
        let mut known = self.saved_words.iter();
        if let Some((_, word)) = known.find(|(at, _)| *at == offset) {
            return Some(*word);
        }
        let word = self.in_block(self.begin, read);
        self.saved_words.push((offset, word));
        Some(word)
    }
}
