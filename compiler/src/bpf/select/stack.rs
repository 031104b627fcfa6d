//! Call stacks: a late string's record that the kernel fills with return addresses
//! (`bpf_get_stack`, Linux 4.18; it follows frame pointers in user space).

use super::call::Arg;
use super::late::LATE_HEAD_BYTES;
use super::text::Text;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use regalloc2::VReg;

use crate::bpf::arch;
use crate::bpf::insn::{AluOp, Cond, Size, Src};
use crate::image::{Field, width_bytes};
use crate::lir::{Context, CtxReg, FormatId, STACK_FRAMES, Space, Ty, Value};
use crate::target::Feature;

/// `BPF_F_USER_STACK` of `bpf_get_stack`.
const USER_STACK: i64 = 1 << 8;

impl Cx<'_> {
    /// `str.stack`: the number of the record's layout, the numbers, the addresses.
    pub(super) fn text_stack(
        &mut self,
        format: FormatId,
        args: &[Value],
        of: Space,
        cap: u32,
        dest: Dest,
    ) -> Lowered<Val> {
        let width = width_bytes(Ty::str(cap));
        let frames_at = LATE_HEAD_BYTES + args.len() as u32 * 8;
        if frames_at + STACK_FRAMES * 8 > width {
            return Err(self.internal("call stack longer than its record"));
        }
        let text = self.fresh_text(cap, true, dest);
        let fields = vec![Field::Int; args.len() + STACK_FRAMES as usize];
        let id = self.plan.record(format, fields);
        self.store_imm(text.mem, i64::from(id));
        for (n, arg) in args.iter().enumerate() {
            let val = self.int(*arg);
            self.store_val(text.mem.at(LATE_HEAD_BYTES + n as u32 * 8), val);
        }
        // The kernel leaves what is behind the last address as it is.
        self.zero(text.mem.at(frames_at), width - frames_at);
        let frames = self.module.limits.max_backtrace.clamp(1, STACK_FRAMES);
        self.take_stack(text.mem.at(frames_at), frames, of)?;
        Ok(Val::Text(Text::Mem(text)))
    }

    /// `ctx.frame`: one address of the stack. Before Linux 5.18 the helper cannot leave out those before it without
    /// losing as many at the end.
    pub(super) fn stack_frame(&mut self, up: Value, of: Space) -> Lowered<Val> {
        let up = self.reg(up);
        let all = STACK_FRAMES * 8;
        let frames = self
            .buffers
            .alloc(all + 8, Access::Variable, (self.pos, self.pos));
        // Behind the last is 0.
        self.zero(frames, all + 8);
        self.take_stack(frames, STACK_FRAMES, of)?;
        let offset = self.alu(AluOp::Lsh, up, Src::Imm(3));
        let address = self.clamped_address(frames, offset, all);
        Ok(Val::Reg(self.load(Size::D, Mem::Ptr(address, 0))))
    }

    /// Writes the innermost frames of a stack.
    fn take_stack(&mut self, to: Mem, frames: u32, of: Space) -> Lowered<()> {
        if !self.stacks_first {
            return self.ask_for_stack(to, frames, of);
        }
        let mut known = self.stacks.iter();
        let taken = match known.find(|(space, _)| *space == of) {
            Some((_, taken)) => *taken,
            None => {
                let taken = self
                    .buffers
                    .alloc(STACK_FRAMES * 8, Access::Fixed, (0, u32::MAX));
                self.in_block(self.begin, |cx| {
                    cx.zero(taken, STACK_FRAMES * 8);
                    cx.ask_for_stack(taken, STACK_FRAMES, of)
                })?;
                self.stacks.push((of, taken));
                taken
            }
        };
        self.copy_block(taken, to, frames * 8);
        Ok(())
    }

    /// Has the kernel write them.
    fn ask_for_stack(&mut self, to: Mem, frames: u32, of: Space) -> Lowered<()> {
        let Some(ctx) = self.ctx else {
            return Err(self.internal("a call stack without a context"));
        };
        let function = match of {
            Space::Kernel => self.returning(ctx)?,
            Space::User => None,
        };
        if let Some(function) = function {
            self.store(Size::D, to, Src::Reg(function));
            self.get_stack(ctx, to.at(8), frames - 1, of);
        } else {
            self.get_stack(ctx, to, frames, of);
        }
        Ok(())
    }

    fn get_stack(&mut self, ctx: VReg, to: Mem, frames: u32, of: Space) {
        let flags = match of {
            Space::Kernel => 0,
            Space::User => USER_STACK,
        };
        let bytes = Arg::Imm(i64::from(frames) * 8);
        let args = [Arg::Reg(ctx), Arg::Addr(to), bytes, Arg::Imm(flags)];
        if frames > 0 {
            self.call_void(Helper::GetStack, &args);
        }
    }

    /// The kernel's function that returns here, which the stack is to begin with. That of a kretprobe begins with its caller, that
    /// of a trampoline, behind frames of tracing itself, with one or the other (7.2). Where the kernel does not tell (before 5.15), a kretprobe's
    /// caller stands for it.
    fn returning(&mut self, ctx: VReg) -> Lowered<Option<VReg>> {
        let is_told = self.features.has(Feature::FuncIp);
        if matches!(self.program.context, Context::Fexit { .. }) {
            return Ok(is_told.then(|| self.call(Helper::GetFuncIp, &[Arg::Reg(ctx)])));
        }
        if !self.program.kretprobe {
            return Ok(None);
        }
        let Some(ip) = arch::register(CtxReg::Ip) else {
            return Err(self.internal("registers without an instruction pointer"));
        };
        let caller = self.context_load(Size::D, ip)?;
        if !is_told {
            return Ok(Some(caller));
        }
        let function = self.call(Helper::GetFuncIp, &[Arg::Reg(ctx)]);
        let (done, first) = self.join();
        let unknown = self.cold(|cx| cx.jump(done, vec![caller]));
        self.jump_if(Cond::Eq, function, Src::Imm(0), unknown);
        self.jump(done, vec![function]);
        self.enter(done);
        Ok(Some(first))
    }
}
