//! Names of the kernel's addresses: `bpf_snprintf` (Linux 5.13) has the kernel's own formats for them.

use super::call::Arg;
use super::text::Text;
use super::{Cx, Dest, Lowered, Val};
use crate::bpf::frame::Mem;
use crate::bpf::helpers::Helper;
use crate::lir::Value;
use crate::target::Feature;

impl Cx<'_> {
    /// `str.symbol`
    pub(super) fn text_symbol(
        &mut self,
        addr: Value,
        offset: bool,
        cap: u32,
        dest: Dest,
    ) -> Lowered<Val> {
        if !self.features.has(Feature::Snprintf) {
            return Err(self.needs_kernel(
                "an address's name as characters",
                "5.13",
                "store it or count by it here, and look into it in an end or timer probe",
            ));
        }
        let format: &[u8] = if offset { b"%pS\0" } else { b"%ps\0" };
        let format = self.plan.constant(format);
        let text = self.fresh_text(cap, false, dest);
        let data = self.temp(8);
        let addr = self.int(addr);
        self.store_val(data, addr);
        // Verifiers want memory that was written before.
        self.zero(text.mem, text.width());
        self.call_void(
            Helper::Snprintf,
            &[
                Arg::Addr(text.mem),
                Arg::Imm(i64::from(cap) + 1),
                Arg::Addr(Mem::Rodata(format)),
                Arg::Addr(data),
                Arg::Imm(8),
            ],
        );
        Ok(Val::Text(Text::Mem(text)))
    }
}
