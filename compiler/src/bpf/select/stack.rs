//! Call stacks: a late string's record that the kernel fills with return addresses
//! (`bpf_get_stack`, Linux 4.18; it follows frame pointers in user space).

use super::build::Arg;
use super::late::LATE_HEAD_BYTES;
use super::text::Text;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::helpers::Helper;
use crate::image::{Field, width_bytes};
use crate::lir::{FormatId, STACK_FRAMES, Space, Ty, Value};

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
        let Some(ctx) = self.ctx else {
            return Err(self.internal("a call stack without a context"));
        };
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
        let flags = match of {
            Space::Kernel => 0,
            Space::User => USER_STACK,
        };
        self.call_void(
            Helper::GetStack,
            &[
                Arg::Reg(ctx),
                Arg::Addr(text.mem.at(frames_at)),
                Arg::Imm(i64::from(frames) * 8),
                Arg::Imm(flags),
            ],
        );
        Ok(Val::Text(Text::Mem(text)))
    }
}
