//! The surroundings: helpers that give numbers, and the program's context.

use regalloc2::VReg;

use super::call::Arg;
use super::{Cx, Lowered, Val};
use crate::bpf::analysis::for_each_op;
use crate::bpf::arch;
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::bpf::plan::Plan;
use crate::image::{MOST_COUNTERS, header};
use crate::lir::{Context, Env, Op, SiteId, Value};

impl Cx<'_> {
    pub(super) fn env(&mut self, env: Env) -> Val {
        let helper = match env {
            Env::PidTgid => match self.pid_tgid {
                Some(reg) => return Val::Reg(reg),
                None => Helper::GetCurrentPidTgid,
            },
            Env::UidGid => Helper::GetCurrentUidGid,
            Env::Cpu => Helper::GetSmpProcessorId,
            Env::KtimeNs => Helper::KtimeGetNs,
            Env::BootNs => Helper::KtimeGetBootNs,
            Env::RealNs => {
                let mono = self.call(Helper::KtimeGetNs, &[]);
                let offset = self.load(Size::D, Mem::Globals(header::REALTIME_OFFSET_NS));
                return Val::Reg(self.alu(AluOp::Add, mono, Src::Reg(offset)));
            }
            Env::Jiffies => Helper::Jiffies64,
            Env::CurrentTask => Helper::GetCurrentTask,
            Env::CgroupId => Helper::GetCurrentCgroupId,
            Env::Random => Helper::GetPrandomU32,
            Env::Point => {
                let known = Val::Const(i64::from(self.program.point));
                return self.point.map_or(known, Val::Reg);
            }
            Env::TargetPid => {
                return Val::Reg(self.load(Size::D, Mem::Globals(header::TARGET_PID)));
            }
        };
        Val::Reg(self.call(helper, &[]))
    }

    /// What a counter has counted on this CPU. The helper's errors are negative; no count is.
    pub(super) fn perf_count(&mut self, number: Value, site: SiteId) -> Val {
        let number = self.reg(number);
        let cpu = self.call(Helper::GetSmpProcessorId, &[]);
        let first = self.alu(AluOp::Mul, cpu, Src::Imm(MOST_COUNTERS as i32));
        let index = self.alu(AluOp::Add, first, Src::Reg(number));
        let args = [Arg::Map(Plan::COUNTERS), Arg::Reg(index)];
        let count = self.call(Helper::PerfEventRead, &args);
        let fail = self.fail(site, Val::Reg(count));
        self.jump_if(Cond::Slt, count, Src::Imm(0), fail);
        Val::Reg(count)
    }

    /// Asks which point fired, where a program is for several that are not alike.
    pub(super) fn load_point(&mut self) {
        if let (true, Some(ctx)) = (self.program.by_cookie, self.ctx) {
            self.point = Some(self.call(Helper::GetAttachCookie, &[Arg::Reg(ctx)]));
        }
    }

    /// Eight bytes of the context.
    fn context_word(&mut self, offset: i32) -> Lowered<Val> {
        self.context_load(Size::D, offset).map(Val::Reg)
    }

    /// A number out of the context. Where there are loops it is read before them: they
    /// have no context.
    pub(super) fn context_load(&mut self, size: Size, offset: i32) -> Lowered<VReg> {
        let Some(ctx) = self.ctx else {
            return Err(self.internal("no context"));
        };
        let known = self.context_words.iter();
        let mut known = known.filter(|word| (word.0, word.1) == (size, offset));
        if let Some((_, _, word)) = known.next() {
            return Ok(*word);
        }
        if !self.divided {
            return Ok(self.context_load_at(ctx, size, offset));
        }
        let begin = self.begin;
        let word = self.in_block(begin, |cx| cx.context_load_at(ctx, size, offset));
        self.context_words.push((size, offset, word));
        Ok(word)
    }

    /// Loads an argument at once if it is all that the handler wants of its context, and wants in any case: then
    /// nothing has to remember where the context is.
    pub(super) fn load_only_word(&mut self, ctx: VReg) {
        let entry = &self.func.blocks[self.func.entry()].insts;
        let wanted = entry.iter().find_map(|inst| match inst.op {
            Op::CtxArg(n) => Some(n),
            _ => None,
        });
        let Some(wanted) = wanted else {
            return;
        };
        let mut is_only = !self.program.by_cookie && self.saved_regs.values().all(Option::is_none);
        for_each_op(self.func, |op| {
            is_only &= match op {
                Op::CtxArg(n) => *n == wanted,
                Op::CtxRet | Op::CtxReg(_) | Op::CtxLoad { .. } => false,
                Op::EntryArg(..) | Op::StrStack(..) | Op::CtxFrame(..) => false,
                _ => true,
            };
        });
        let is_word = !matches!(self.program.context, Context::RawSyscall { .. });
        if is_only && is_word {
            let offset = i32::from(wanted) * 8;
            let word = self.context_load_at(ctx, Size::D, offset);
            self.context_words.push((Size::D, offset, word));
        }
    }

    fn context_load_at(&mut self, ctx: VReg, size: Size, offset: i32) -> VReg {
        let word = self.load(size, Mem::Ptr(ctx, offset));
        match (self.program.context, size) {
            (Context::BtfTracepoint | Context::Fentry | Context::Fexit { .. }, Size::D) => {
                self.launder(word)
            }
            _ => word,
        }
    }

    pub(super) fn context(&mut self, op: &Op) -> Lowered<Val> {
        let context = self.program.context;
        match (op, context) {
            (
                Op::CtxArg(n),
                Context::RawTracepoint
                | Context::BtfTracepoint
                | Context::Fentry
                | Context::Fexit { .. },
            )
            | (Op::EntryArg(n, _), Context::Fexit { .. }) => self.context_word(i32::from(*n) * 8),
            (Op::CtxArg(0), Context::RawSyscall { .. }) => {
                let task = self.call(Helper::GetCurrentTaskBtf, &[]);
                let regs = self.call(Helper::TaskPtRegs, &[Arg::Reg(task)]);
                Ok(Val::Reg(self.launder(regs)))
            }
            (Op::CtxArg(_), Context::RawSyscall { is_return: false }) => {
                self.context_word(arch::RAW_SYSCALL_NUMBER)
            }
            (Op::CtxArg(_), Context::RawSyscall { is_return: true }) => {
                self.context_word(arch::RAW_SYSCALL_RESULT)
            }
            (Op::CtxRet, Context::Fexit { args }) => self.context_word(i32::from(args) * 8),
            (Op::CtxReg(reg), Context::Regs | Context::PerfEvent) => match arch::register(*reg) {
                Some(offset) => self.context_word(offset),
                None => Err(self.unsupported(
                    "an argument that is not passed in a register",
                    "read it from the stack",
                )),
            },
            (
                Op::CtxLoad {
                    offset,
                    size,
                    signed,
                },
                _,
            ) => {
                let reg = self.context_load(Size::of_bytes(*size), *offset as i32)?;
                Ok(Val::Reg(if *signed && *size < 8 {
                    self.extend_reg(reg, size * 8, true)
                } else {
                    reg
                }))
            }
            (Op::EntryArg(n, site), Context::Regs) => self.entry_arg(*n, *site),
            _ => Err(self.internal("context operation in the wrong context")),
        }
    }
}
