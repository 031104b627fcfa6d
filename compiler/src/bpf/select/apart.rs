//! Functions apart from the program's own code: callbacks for the elements of a map, and operations that
//! are long in code and for the verifier, which all places that need them share. They are
//! given the index of the scratch frame and find there what they work with.

use std::collections::BTreeMap;

use regalloc2::VReg;

use super::template::Template;
use super::text::{Text, TextMem};
use super::{Cx, Lowered};
use crate::bpf::analysis::for_each_op;
use crate::bpf::frame::{Access, Mem};
use crate::bpf::insn::{Cond, Reg, Size, Src};
use crate::bpf::plan::Plan;
use crate::bpf::vcode::{Apart, Term};
use crate::image::width_bytes;
use crate::lir::{Op, Ty, Value};

/// Where a function keeps the frame's index, on its own stack.
pub(super) const INDEX: Mem = Mem::Stack(-8);
/// Bytes of stack that the index takes.
const INDEX_BYTES: u32 = 8;
/// Work on strings that are shorter is done where it is needed.
const LEAST_SHARED_BYTES: u32 = 64;

/// A function that makes one string of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedText {
    number: u32,
    from: TextMem,
    made: Text,
}

/// Those of a program: the quoting of strings, by the most bytes of the result.
pub(super) type SharedTexts = BTreeMap<u32, SharedText>;

impl Cx<'_> {
    /// Makes a function with the code of `body`, which begins with [`Cx::find_frame`]; gives its number.
    pub(super) fn apart(
        &mut self,
        is_callback: bool,
        body: &mut dyn FnMut(&mut Self) -> Lowered<()>,
    ) -> Lowered<u32> {
        let outer = std::mem::take(&mut self.code);
        let (cur, frame, globals) = (self.cur, self.frame, self.globals.take());
        self.cur = self.code.block(false);
        let done = body(self);
        let zero = self.imm(0);
        self.finish_block(Term::Exit(zero));
        self.code.stack_bytes = INDEX_BYTES;
        let code = std::mem::replace(&mut self.code, outer);
        (self.cur, self.frame, self.globals) = (cur, frame, globals);
        self.code.apart.push(Apart { code, is_callback });
        done?;
        Ok(self.code.apart.len() as u32 - 1)
    }

    /// In a function apart that is no callback: what it is given, the frame's index.
    pub(super) fn argument(&mut self) -> VReg {
        let index = self.code.vreg();
        let mut t = Template::default();
        t.write_fixed(index, Reg::R1);
        self.push(t);
        index
    }

    /// In a function apart: finds the frame by its index.
    pub(super) fn find_frame(&mut self, index: VReg) {
        self.store(Size::W, INDEX, Src::Reg(index));
        let found = self.lookup(Plan::FRAMES, INDEX);
        let stop = self.stop();
        self.jump_if(Cond::Eq, found, Src::Imm(0), stop);
        self.frame = Some(found);
        self.code.frame = Some(found);
        self.code.frame_index = Some(index);
    }

    /// The index of the scratch frame.
    pub(super) fn frame_index(&mut self) -> VReg {
        match self.code.frame_index {
            Some(index) => index,
            // The recording run: there is no frame yet.
            None => self.imm(0),
        }
    }

    /// Whether more than one operation like this is on strings that are not short.
    pub(super) fn is_shared(&self, like: fn(&Op) -> Option<Value>) -> bool {
        let mut count = 0;
        for_each_op(self.func, |op| {
            count += usize::from(like(op).is_some_and(|text| self.is_long(text)));
        });
        count > 1
    }

    /// Whether a string may be long.
    pub(super) fn is_long(&self, text: Value) -> bool {
        matches!(self.func.ty(text), Ty::Str { cap, .. } if cap >= LEAST_SHARED_BYTES)
    }

    /// Makes a function out of `work`, for strings of any length.
    pub(super) fn share_text(
        &mut self,
        work: &dyn Fn(&mut Self, TextMem) -> Text,
    ) -> Lowered<SharedText> {
        let cap = self.module.limits.max_string_len - 1;
        let all_along = (0, u32::MAX);
        let mem = self
            .buffers
            .alloc(width_bytes(Ty::str(cap)), Access::Variable, all_along);
        let from = TextMem {
            mem,
            cap,
            padded: false,
            late: false,
        };
        let mut made = Text::EMPTY;
        let number = self.apart(false, &mut |cx| {
            let index = cx.argument();
            cx.find_frame(index);
            made = work(cx, from);
            Ok(())
        })?;
        Ok(SharedText { number, from, made })
    }

    /// Calls a function that makes one string of another. The result is good until the next such call.
    pub(super) fn call_shared(&mut self, shared: SharedText, text: Text) -> Text {
        let from = shared.from;
        self.copy_text(text, from.mem, from.width(), false);
        let index = self.frame_index();
        self.call_apart(shared.number, index);
        shared.made
    }
}
