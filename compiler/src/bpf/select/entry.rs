//! Entry-time arguments at a function's return, where no trampoline keeps them: a second program
//! on the function's entry (the entry half) saves them in a map, the return program
//! takes them out.
//!
//! The key is the stack pointer at the entry with the thread: of calls that are under way
//! at one time no two have the same, recursion or not. At the return the stack is higher by
//! the return address. An entry whose return never came is recycled (the map is LRU); a return
//! whose entry was missed is counted, and reading an argument there is an error.

use super::call::Arg;
use super::{Cx, Lowered, Val};
use crate::bpf::analysis::for_each_op;
use crate::bpf::arch::{self, Argument};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, MapId, Size, Src};
use crate::image::ProgramCounter;
use crate::lir::{Context, CtxReg, Function, Op, SiteId};

/// Bytes of the key: stack pointer, pid_tgid.
const KEY_BYTES: u32 = 16;
/// Bytes that a return takes off the stack.
const RETURN_ADDRESS_BYTES: i32 = 8;

/// The entry-time arguments that a body reads, in order.
pub fn entry_args(func: &Function) -> Vec<u8> {
    let mut args = Vec::new();
    for_each_op(func, |op| {
        if let Op::EntryArg(n, _) = op
            && !args.contains(n)
        {
            args.push(*n);
        }
    });
    args.sort_unstable();
    args
}

impl Cx<'_> {
    /// The key, `below` bytes under the current stack pointer.
    fn entry_key(&mut self, below: i32) -> Option<Mem> {
        let ctx = self.ctx?;
        let sp = self.load(Size::D, Mem::Ptr(ctx, arch::register(CtxReg::Sp)?));
        let key = self.buffers.alloc(KEY_BYTES, Access::Fixed, (0, 0));
        let sp = if below == 0 {
            sp
        } else {
            self.alu(AluOp::Sub, sp, Src::Imm(below))
        };
        self.store(Size::D, key, Src::Reg(sp));
        let task = match self.pid_tgid {
            Some(task) => task,
            None => self.call(Helper::GetCurrentPidTgid, &[]),
        };
        self.store(Size::D, key.at(8), Src::Reg(task));
        Some(key)
    }

    /// The body of an entry half: saves the arguments.
    pub(super) fn save_entry(&mut self, map: MapId, args: &[u8]) -> Lowered<()> {
        let (Some(ctx), Some(key)) = (self.ctx, self.entry_key(0)) else {
            return Err(self.internal("no stack pointer in the context"));
        };
        let values = self
            .buffers
            .alloc(args.len() as u32 * 8, Access::Fixed, (0, 0));
        let helper = if self.program.uprobe {
            Helper::ProbeReadUser
        } else {
            Helper::ProbeReadKernel
        };
        let exit = self.exit_block();
        for (at, arg) in args.iter().enumerate() {
            let place = values.at(at as u32 * 8);
            match arch::argument(*arg) {
                Argument::Register(offset) => {
                    let value = self.load(Size::D, Mem::Ptr(ctx, offset));
                    self.store(Size::D, place, Src::Reg(value));
                }
                Argument::Stack(above) => {
                    let sp = self.load(Size::D, key);
                    let address = self.alu(AluOp::Add, sp, Src::Imm(above));
                    let args = [Arg::Addr(place), Arg::Imm(8), Arg::Reg(address)];
                    let result = self.call(helper, &args);
                    // The return finds nothing then.
                    self.jump_if(Cond::Ne, result, Src::Imm(0), exit);
                }
            }
        }
        self.update(map, key, values, 0);
        self.jump(exit, Vec::new());
        Ok(())
    }

    /// At the beginning of a return program: takes the saved arguments out of the map.
    pub(super) fn load_entry(&mut self) {
        let args = entry_args(self.func);
        let map = self.plan.entry_map(self.program.handler);
        let (Some(map), Context::Regs) = (map, self.program.context) else {
            return;
        };
        // A word that says whether they were there, then the arguments.
        let saved = self
            .buffers
            .alloc(8 + args.len() as u32 * 8, Access::Fixed, (0, u32::MAX));
        let Some(key) = self.entry_key(RETURN_ADDRESS_BYTES) else {
            return;
        };
        let found = self.lookup(map, key);
        let done = self.code.block(false);
        let missing = self.cold(|cx| {
            for word in 0..=args.len() as u32 {
                cx.store_imm(saved.at(word * 8), 0);
            }
            cx.count(ProgramCounter::Missed);
            cx.jump(done, Vec::new());
        });
        self.jump_if(Cond::Eq, found, Src::Imm(0), missing);
        for at in 0..args.len() as u32 {
            let value = self.load(Size::D, Mem::Ptr(found, at as i32 * 8));
            self.store(Size::D, saved.at(8 + at * 8), Src::Reg(value));
        }
        self.store_imm(saved, 1);
        self.call_void(Helper::MapDeleteElem, &[Arg::Map(map), Arg::Addr(key)]);
        self.jump(done, Vec::new());
        self.enter(done);
        self.entry = Some(saved);
    }

    /// A saved argument.
    pub(super) fn entry_arg(&mut self, arg: u8, site: SiteId) -> Lowered<Val> {
        let at = entry_args(self.func).iter().position(|n| *n == arg);
        let (Some(saved), Some(at)) = (self.entry, at) else {
            return Err(self.internal("no saved arguments"));
        };
        let there = self.load(Size::D, saved);
        let fail = self.fail(site, Val::Const(0));
        self.jump_if(Cond::Eq, there, Src::Imm(0), fail);
        Ok(Val::Reg(self.load(Size::D, saved.at(8 + at as u32 * 8))))
    }
}
