//! The session's state, shared with kernel handlers through the header of the globals map,
//! or kept here when the script has no kernel handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtap_compiler::image::{SessionState, header};

use crate::bpf::Mapping;

/// Words of the header.
const WORDS: usize = header::SIZE as usize / 8;

/// The header's words, wherever they are.
#[derive(Debug)]
pub enum Control {
    /// No kernel handlers.
    Local([AtomicU64; WORDS]),
    /// In the globals map.
    Mapped(Arc<Mapping>),
}

impl Default for Control {
    fn default() -> Self {
        Control::Local(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Control {
    fn word(&self, offset: u32) -> &AtomicU64 {
        match self {
            Control::Local(words) => words.get(offset as usize / 8).unwrap_or(&words[0]),
            Control::Mapped(mapping) => mapping.word(offset),
        }
    }

    /// The word at one of the offsets in [`header`].
    pub fn load(&self, offset: u32) -> u64 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Sets a word.
    pub fn store(&self, offset: u32, value: u64) {
        self.word(offset).store(value, Ordering::Release);
    }

    /// What the session is doing.
    pub fn state(&self) -> SessionState {
        match self.load(header::STATE) {
            0 => SessionState::Starting,
            1 => SessionState::Running,
            2 => SessionState::Stopping,
            _ => SessionState::Error,
        }
    }

    /// Goes on to a later state; never back.
    pub fn advance(&self, state: SessionState) {
        let state_word = self.word(header::STATE);
        let ignored = self.word(header::IGNORED_BYTES);
        state_word.fetch_max(state as u64, Ordering::SeqCst);
        let is_running = || state_word.load(Ordering::SeqCst) == SessionState::Running as u64;
        if is_running() {
            ignored.store(self.load(header::SELF_STACK_BYTES), Ordering::SeqCst);
        }
        // A handler that ends the session writes both words, in this order: it may have come between.
        if !is_running() {
            ignored.store(u64::MAX, Ordering::SeqCst);
        }
    }

    /// Whether the session is about to end.
    pub fn is_ending(&self) -> bool {
        self.load(header::STATE) >= SessionState::Stopping as u64
    }

    /// Counts a run-time error of a user-side handler.
    pub fn count_error(&self) {
        let errors = self.word(header::ERRORS).fetch_add(1, Ordering::AcqRel) + 1;
        if errors > self.load(header::MAX_ERRORS) {
            self.advance(SessionState::Error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_only_advance() {
        let control = Control::default();
        assert_eq!(control.state(), SessionState::Starting);
        control.advance(SessionState::Stopping);
        control.advance(SessionState::Running);
        assert_eq!(control.state(), SessionState::Stopping);
        assert_eq!(control.load(header::IGNORED_BYTES), u64::MAX);
    }

    #[test]
    fn while_it_runs_only_the_stack_is_ignored() {
        let control = Control::default();
        control.store(header::SELF_STACK_BYTES, 1 << 14);
        control.advance(SessionState::Running);
        assert_eq!(control.load(header::IGNORED_BYTES), 1 << 14);
        control.advance(SessionState::Error);
        assert_eq!(control.load(header::IGNORED_BYTES), u64::MAX);
    }

    #[test]
    fn one_error_more_than_allowed_ends_the_session() {
        let control = Control::default();
        control.store(header::MAX_ERRORS, 1);
        control.count_error();
        assert!(!control.is_ending());
        control.count_error();
        assert_eq!(control.state(), SessionState::Error);
    }
}
