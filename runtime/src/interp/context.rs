//! What surrounds a handler: numbers of the machine, the traced context, memory, and where
//! its output goes. The session supplies the real one; tests supply others and can so run
//! any handler, also those of the kernel.

use rtap_compiler::lir::{Channel, Core, CtxReg, Env, Space};

use crate::values::Text;

/// Surroundings of a running handler.
pub trait Context {
    /// A number of the machine.
    fn env(&mut self, env: Env) -> i64;

    /// Name of the current task.
    fn comm(&mut self) -> Text;

    /// Where printed text goes: appended to this, then [`Context::printed`].
    fn out(&mut self) -> &mut Vec<u8>;

    /// Something was appended to [`Context::out`].
    fn printed(&mut self) {}

    /// Text for another channel than output.
    fn send(&mut self, channel: Channel, text: &[u8]);

    /// `exit()` was called.
    fn request_exit(&mut self);

    /// Whether the handler is to be given up: somebody pressed Ctrl-C. Asked now and then.
    fn interrupted(&mut self) -> bool {
        false
    }

    /// A fact of the running kernel; as compiled, unless somebody knows better.
    fn core(&mut self, core: &Core) -> i64 {
        core.value
    }

    /// Argument `n` of a tracepoint or function.
    fn ctx_arg(&mut self, _n: u8) -> i64 {
        0
    }

    /// What the traced function returned.
    fn ctx_ret(&mut self) -> i64 {
        0
    }

    /// A register of the traced context.
    fn ctx_reg(&mut self, _reg: CtxReg) -> i64 {
        0
    }

    /// Bytes of the program's context structure; false where it has none such.
    fn ctx_load(&mut self, _offset: u32, _bytes: &mut [u8]) -> bool {
        false
    }

    /// Saved argument `n` of a return probe; `None` when the entry was missed.
    fn entry_arg(&mut self, _n: u8) -> Option<i64> {
        None
    }

    /// Reads traced memory, all of `bytes` or nothing; false for a bad address.
    fn read(&mut self, _space: Space, _address: u64, _bytes: &mut [u8]) -> bool {
        false
    }
}

/// Most bytes read of a string at once: never across a page that may not be there.
const CHUNK: u64 = 256;

/// Reads memory up to a NUL, at most `most` bytes, to the end of `out`; false for a bad
/// address. A fault behind the first byte is one too, as in the kernel.
pub(super) fn read_string(
    cx: &mut impl Context,
    space: Space,
    address: u64,
    most: usize,
    out: &mut Vec<u8>,
) -> bool {
    let mut at = address;
    let mut left = most as u64;
    let mut buffer = [0; CHUNK as usize];
    while left > 0 {
        let to_boundary = CHUNK - at % CHUNK;
        let take = to_boundary.min(left) as usize;
        let part = &mut buffer[..take];
        if !cx.read(space, at, part) {
            return false;
        }
        if let Some(end) = part.iter().position(|b| *b == 0) {
            out.extend_from_slice(&part[..end]);
            return true;
        }
        out.extend_from_slice(part);
        at = at.wrapping_add(take as u64);
        left -= take as u64;
    }
    true
}
