//! Globals that kernel handlers only add to and user-side ones take from: two maps take turns.

use super::Cx;
use super::call::Arg;
use crate::bpf::frame::Mem;
use crate::bpf::insn::{Cond, MapId, Size, Src, Wide};
use crate::image::TurnLayout;

impl Cx<'_> {
    /// The map whose turn it is: `map`, if there is no other.
    pub(super) fn in_turn(&mut self, map: MapId, turns: Option<&TurnLayout>) -> Arg {
        let Some(turns) = turns else {
            return Arg::Map(map);
        };
        let other = self.plan.map_named(&turns.other);
        let (chosen, address) = self.join();
        let others = self.code.block(self.is_cold());
        self.in_block(others, |cx| {
            let other = cx.load_wide(Wide::Map(other));
            cx.jump(chosen, vec![other]);
        });
        let turn = self.load(Size::D, Mem::Globals(turns.turn));
        self.jump_if(Cond::Ne, turn, Src::Imm(0), others);
        let first = self.load_wide(Wide::Map(map));
        self.jump(chosen, vec![first]);
        self.enter(chosen);
        Arg::Reg(address)
    }
}
