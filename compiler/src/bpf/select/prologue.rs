//! How a program begins and ends: the tests whether it is to run at all, the scratch frame, the
//! report of an error, `exit()`.

use regalloc2::VReg;

use super::call::Arg;
use super::text::Text;
use super::{Cx, Half, Lowered};
use crate::bpf::analysis::for_each_op;
use crate::bpf::frame::{Access, Mem};
use crate::bpf::helpers::Helper;
use crate::bpf::insn::{AluOp, AtomicOp, Cond, Reg, Size, Src};
use crate::bpf::plan::{FRAME_LEVELS, Plan};
use crate::bpf::vcode::{BlockId, Term};
use crate::image::{
    ProgramCounter, RECORD_HEAD_BYTES, RecordKind, SessionState, header, width_bytes,
};
use crate::lir::{Op, Ty, Value};
use crate::target::Feature;

/// Bytes of an error record before its text: head, site, argument, length.
const ERROR_HEAD_BYTES: u32 = RECORD_HEAD_BYTES + 24;

impl Cx<'_> {
    /// The beginning of a program: nothing happens unless the session is running and, but in tapsets'
    /// own probes, the current task is not rtap itself.
    pub(super) fn prologue(&mut self, half: Half) {
        let ctx = self.code.vreg();
        let mut t = super::template::Template::default();
        t.write_fixed(ctx, Reg::R1);
        self.push(t);
        self.ctx = Some(ctx);
        self.code.ctx = Some(ctx);

        if self.program.uprobe {
            self.keep_to_the_stack();
        }
        let out = self.code.block(true);
        if half == Half::Body {
            self.load_only_word(ctx);
        }
        // What begins before the session runs may end in it: entries are saved from the first.
        let early = self.program.early || half == Half::Entry;
        if early || !self.program.context_on_stack {
            let state = self.load(Size::D, Mem::Globals(header::STATE));
            let not_now = if early { Cond::Gt } else { Cond::Ne };
            self.jump_if(not_now, state, Src::Imm(SessionState::Running as i32), out);
        }
        // What a tapset keeps account of is rtap's own doing as well.
        match (self.program.early, self.program.context_on_stack) {
            (true, _) => {}
            (false, true) if early => self.leave_by_stack(ctx, header::SELF_STACK_BYTES, out),
            (false, true) => self.leave_by_stack(ctx, header::IGNORED_BYTES, out),
            (false, false) => self.leave_if_own(out),
        }
        // Asked for in any case: both runs of selection must ask for the same.
        let key = self.buffers.alloc(8, Access::Stack, (0, 0));
        let has_frame = self.buffers.needs_frame();
        if has_frame {
            self.claim_frame(key, out);
        }
        if has_frame || self.program.times.is_some() {
            self.in_block(out, |cx| {
                let zero = cx.imm(0);
                cx.finish_block(Term::Exit(zero));
            });
        } else {
            // Nothing to release: one way out for all.
            self.code.blocks[out.0 as usize].cold = false;
            self.exit = Some(out);
        }
        self.declare_run(half);
        if half == Half::Body {
            self.declare_rounds();
            self.declare_nests();
            self.declare_iterations();
            self.declare_matches();
        }
        if let Some(message) = self.message {
            self.store_imm(message.at(ERROR_HEAD_BYTES), 0);
            self.store_imm(message.at(RECORD_HEAD_BYTES + 16), 0);
        }
    }

    /// Keeps the program on the stack of the thread that it runs in. From 6.13 on the kernel gives each function that needs 64 bytes
    /// of stack a place of its own on each CPU, in programs of uprobes too, which it may preempt for, or let sleep during, another run of the same
    /// program on that CPU: the two would share the place. Programs with a tail call have none, even with one that the verifier
    /// takes out as it is never reached. (One in the main function does not limit the stack.)
    fn keep_to_the_stack(&mut self) {
        let never = self.cold(|cx| {
            cx.call_void(Helper::TailCall, &[]);
            let zero = cx.imm(0);
            cx.finish_block(Term::Exit(zero));
        });
        let zero = self.imm(0);
        self.jump_if(Cond::Ne, zero, Src::Imm(0), never);
    }

    /// Leaves if the current task is rtap itself. Keeps its id for the handler.
    fn leave_if_own(&mut self, out: BlockId) {
        let pid_tgid = self.call(Helper::GetCurrentPidTgid, &[]);
        let tgid = self.alu(AluOp::Rsh, pid_tgid, Src::Imm(32));
        let own = self.load(Size::D, Mem::Globals(header::SELF_TGID));
        self.jump_if(Cond::Eq, tgid, Src::Reg(own), out);
        self.pid_tgid = Some(pid_tgid);
        self.tgid = Some(tgid);
    }

    /// Leaves if the context is in so many bytes (a word of the header) from the begin of rtap's stack
    /// on: where it is on the stack of the task, no helper has to be called to know whose it is.
    fn leave_by_stack(&mut self, ctx: VReg, ignored: u32, out: BlockId) {
        let address = self.launder(ctx);
        let begin = self.load(Size::D, Mem::Globals(header::SELF_STACK));
        let above = self.alu(AluOp::Sub, address, Src::Reg(begin));
        let bytes = self.load(Size::D, Mem::Globals(ignored));
        self.jump_if(Cond::Lt, above, Src::Reg(bytes), out);
    }

    /// Takes a scratch frame. Handlers that interrupt one another on a CPU each find the
    /// first free one of the CPU's few; the busy word at the start of a frame says whether it is
    /// taken. From 5.12 it is exchanged atomically. Before, handlers that share a CPU run to their end
    /// before the interrupted one goes on, so that a plain test and store will do.
    fn claim_frame(&mut self, key: Mem, out: BlockId) {
        let cpu = self.call(Helper::GetSmpProcessorId, &[]);
        let first = self.alu(AluOp::Mul, cpu, Src::Imm(FRAME_LEVELS as i32));
        let (claimed, frame) = self.join();
        let own_index = self.code.vreg();
        let taken = &mut self.code.blocks[claimed.0 as usize];
        taken.cold = false;
        taken.params.push(own_index);
        let skipped = self.cold(|cx| {
            cx.skip_run(key);
            cx.jump(out, Vec::new());
        });
        let mut levels = FRAME_LEVELS;
        if self.program.in_locks {
            // Only if nothing else runs: that may hold the lock of a map, which until 6.16 this would wait for, for ever.
            for level in 1..levels {
                let (_, found) = self.look_up_frame(first, level, key, skipped);
                let busy = self.load(Size::D, Mem::Ptr(found, 0));
                self.jump_if(Cond::Ne, busy, Src::Imm(0), skipped);
            }
            levels = 1;
        }
        for level in 0..levels {
            let (index, found) = self.look_up_frame(first, level, key, skipped);
            let one = self.imm(1);
            let busy = if self.features.has(Feature::AtomicFetch) {
                self.atomic_fetch(AtomicOp::Xchg, Mem::Ptr(found, 0), one)
            } else {
                let busy = self.load(Size::D, Mem::Ptr(found, 0));
                let next = self.code.block(true);
                self.jump_if(Cond::Ne, busy, Src::Imm(0), next);
                self.store(Size::D, Mem::Ptr(found, 0), Src::Reg(one));
                self.jump(claimed, vec![found, index]);
                self.enter(next);
                continue;
            };
            let next = self.code.block(true);
            self.jump_if(Cond::Ne, busy, Src::Imm(0), next);
            self.jump(claimed, vec![found, index]);
            self.enter(next);
        }
        self.jump(skipped, Vec::new());
        self.enter(claimed);
        self.frame = Some(frame);
        self.code.frame = Some(frame);
        self.code.frame_index = Some(own_index);
    }

    /// Number and address of a frame of this CPU, whose `first` has this number.
    fn look_up_frame(&mut self, first: VReg, level: u32, key: Mem, none: BlockId) -> (VReg, VReg) {
        let index = self.alu(AluOp::Add, first, Src::Imm(level as i32));
        self.store(Size::W, key, Src::Reg(index));
        let found = self.call(
            Helper::MapLookupElem,
            &[Arg::Map(Plan::FRAMES), Arg::Addr(key)],
        );
        self.jump_if(Cond::Eq, found, Src::Imm(0), none);
        (index, found)
    }

    /// The block that leaves the program.
    pub(super) fn exit_block(&mut self) -> BlockId {
        if let Some(exit) = self.exit {
            return exit;
        }
        let exit = self.code.block(false);
        self.exit = Some(exit);
        exit
    }

    /// Fills in the blocks at which programs end.
    pub(super) fn exits(&mut self) {
        if let Some(block) = self.error_exit {
            self.span = None;
            self.cur = block;
            self.globals = None;
            self.report();
            let exit = self.exit_block();
            self.jump(exit, Vec::new());
        }
        if let Some(exit) = self.exit {
            self.enter(exit);
            self.end_run();
            if let Some(frame) = self.frame {
                self.store(Size::D, Mem::Ptr(frame, 0), Src::Imm(0));
            }
            let zero = self.imm(0);
            self.finish_block(Term::Exit(zero));
        }
    }

    /// Where a run-time error's record is made: its head, site, argument, and a text behind them.
    pub(super) fn error_record(&mut self) -> Mem {
        if let Some(record) = self.message.or(self.error_record) {
            return record;
        }
        // Nothing of the handler lives any more when this begins to.
        let record = self.buffers.alloc(ERROR_HEAD_BYTES, Access::Fixed, (0, 0));
        self.error_record = Some(record);
        record
    }

    /// Reports a run-time error whose site and argument are in the record. A record that finds the ring buffer
    /// full is missed by who compares the errors counted with those shown.
    fn report(&mut self) {
        let one = self.imm(1);
        self.atomic_add(Mem::Globals(header::ERRORS), one);
        let errors = self.load(Size::D, Mem::Globals(header::ERRORS));
        let most = self.load(Size::D, Mem::Globals(header::MAX_ERRORS));
        let go_on = self.code.block(true);
        self.jump_if(Cond::Le, errors, Src::Reg(most), go_on);
        // The last of the states: whatever it is now.
        self.set_state(SessionState::Error);
        self.jump(go_on, Vec::new());
        self.enter(go_on);
        let record = self.error_record();
        self.store_imm(record, record_head(RecordKind::Error, self.program.program));
        self.store_point(record.at(12));
        let size = if self.message.is_some() {
            let len = self.load(Size::D, record.at(24));
            let size = self.alu(AluOp::Add, len, Src::Imm(ERROR_HEAD_BYTES as i32 + 7));
            let size = self.alu(AluOp::And, size, Src::Imm(-8));
            Arg::Masked(size, self.message_bound() as i32 - 1)
        } else {
            self.store_imm(record.at(24), 0);
            Arg::Imm(i64::from(ERROR_HEAD_BYTES))
        };
        self.call_void(
            Helper::RingbufOutput,
            &[Arg::Map(Plan::EVENTS), Arg::Addr(record), size, Arg::Imm(0)],
        );
    }

    /// Counts something that the handler does not do.
    pub(super) fn count(&mut self, counter: ProgramCounter) {
        let one = self.imm(1);
        let at = counter.offset(self.program.program);
        self.atomic_add(Mem::Globals(at), one);
    }

    /// Ends the session: no handler begins any more.
    fn set_state(&mut self, state: SessionState) {
        self.store_imm(Mem::Globals(header::STATE), state as i64);
        self.store_imm(Mem::Globals(header::IGNORED_BYTES), -1);
    }

    /// Says which of several points fired, where that is known.
    fn store_point(&mut self, to: Mem) {
        if let Some(point) = self.point {
            self.store(Size::W, to, Src::Reg(point));
        }
    }

    /// Sets the session's state if it is `Running`, then goes to `then`.
    fn leave_running(&mut self, state: SessionState, then: BlockId) {
        let old = self.load(Size::D, Mem::Globals(header::STATE));
        self.jump_if(Cond::Ne, old, Src::Imm(SessionState::Running as i32), then);
        self.set_state(state);
        self.jump(then, Vec::new());
    }

    /// `exit()`: the state is set at once, a record wakes the reader up.
    pub(super) fn request_exit(&mut self) {
        let go_on = self.code.block(self.is_cold());
        self.leave_running(SessionState::Stopping, go_on);
        self.enter(go_on);
        let (record, done) = self.reserve(RECORD_HEAD_BYTES);
        let record = Mem::Ptr(record, 0);
        self.store_imm(record, record_head(RecordKind::Exit, 0));
        self.submit(record, done);
    }

    /// Bytes of the message buffer's text, a multiple of 8.
    fn text_bound(&self) -> u32 {
        width_bytes(Ty::str(self.module.limits.max_string_len - 1))
    }

    /// Bytes of the message buffer: a power of two, more than the longest error record.
    fn message_bound(&self) -> u32 {
        (ERROR_HEAD_BYTES + self.text_bound() + 1).next_power_of_two()
    }

    /// Makes the message buffer, an error record under construction, if `error()` is used.
    pub(super) fn declare_message(&mut self) {
        let mut used = false;
        for_each_op(self.func, |op| used |= matches!(op, Op::ErrSet(_)));
        if used {
            let bytes = self.message_bound();
            self.message = Some(self.buffers.alloc(bytes, Access::Variable, (0, u32::MAX)));
        }
    }

    /// Where the text of the message buffer is, if there is one.
    pub(super) fn message_text(&self) -> Option<Mem> {
        self.message.map(|message| message.at(ERROR_HEAD_BYTES))
    }

    /// `err.set`.
    pub(super) fn set_message(&mut self, text: Value) -> Lowered<()> {
        let text: Text = self.text(text);
        let Some(message) = self.message else {
            return Err(self.internal("no message buffer"));
        };
        let bound = self.text_bound();
        let len = self.copy_text_len(text, message.at(ERROR_HEAD_BYTES), bound)?;
        self.store_val(message.at(24), len);
        Ok(())
    }
}

/// The first eight bytes of a record.
pub(super) fn record_head(kind: RecordKind, id: u32) -> i64 {
    kind as i64 | i64::from(id) << 32
}
