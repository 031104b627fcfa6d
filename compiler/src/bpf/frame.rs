//! Buffers: where strings, keys and records are while a handler runs.
//!
//! If all that are alive at the same time fit, they are on the stack and the handler needs
//! no scratch frame. Else those that are addressed at variable offsets, and the largest ones,
//! go to the scratch frame (a map's memory, so that the verifier takes variable offsets there on
//! every kernel). Buffers whose lifetimes do not overlap share bytes.

use std::collections::BTreeMap;

use regalloc2::VReg;

/// A place in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mem {
    /// At the frame pointer plus (negative) offset.
    Stack(i32),
    /// In the scratch frame at this offset.
    Frame(u32),
    /// In a buffer, by its number, at this offset. See [`Buffers::locate`].
    Buffer(u32, u32),
    /// In the constants at this offset.
    Rodata(u32),
    /// In the globals map at this offset.
    Globals(u32),
    /// At a pointer plus offset.
    Ptr(VReg, i32),
}

impl Mem {
    /// The place `bytes` further on.
    pub fn at(self, bytes: u32) -> Mem {
        match self {
            Mem::Stack(off) => Mem::Stack(off + bytes as i32),
            Mem::Frame(off) => Mem::Frame(off + bytes),
            Mem::Buffer(number, off) => Mem::Buffer(number, off + bytes),
            Mem::Rodata(off) => Mem::Rodata(off + bytes),
            Mem::Globals(off) => Mem::Globals(off + bytes),
            Mem::Ptr(reg, off) => Mem::Ptr(reg, off + bytes as i32),
        }
    }
}

/// How a buffer is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// At constant offsets.
    Fixed,
    /// At computed offsets too: never on the stack, where old verifiers refuse that.
    Variable,
    /// On the stack: needed while there is no frame.
    Stack,
}

/// A request for a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    bytes: u32,
    access: Access,
    /// First and last position of its life.
    range: (u32, u32),
}

/// Bytes at the start of a scratch frame that are not buffers: its busy word.
pub const FRAME_HEAD_BYTES: u32 = 8;

/// The buffers of one function.
#[derive(Debug, Default)]
pub struct Buffers {
    requests: Vec<Request>,
    places: Vec<Mem>,
    next: usize,
    stack_bytes: u32,
    frame_bytes: u32,
    slack_bytes: u32,
    all_in_frame: bool,
    mismatch: bool,
}

impl Buffers {
    /// Begins a run of selection.
    pub fn restart(&mut self) {
        self.next = 0;
    }

    /// Whether the scratch frame is needed. Known from the second run on.
    pub fn needs_frame(&self) -> bool {
        self.frame_bytes != 0
    }

    /// Bytes of the scratch frame, its head included; 0 if it is not needed.
    pub fn frame_bytes(&self) -> u32 {
        if self.frame_bytes == 0 {
            0
        } else {
            self.frame_bytes + self.slack_bytes
        }
    }

    /// Keeps the stack free: functions of one program share nothing but the frame.
    pub fn use_frame_only(&mut self) {
        self.all_in_frame = true;
    }

    /// End of the buffers in the frame.
    pub fn frame_end(&self) -> u32 {
        self.frame_bytes
    }

    /// Makes the frame longer, to end at `bytes`.
    pub fn extend_frame(&mut self, bytes: u32) {
        self.frame_bytes = self.frame_bytes.max(bytes);
    }

    /// Asks for so many bytes behind the last buffer of the scratch frame, which code never
    /// touches but the verifier thinks it could.
    pub fn reserve_slack(&mut self, bytes: u32) {
        self.slack_bytes = self.slack_bytes.max(bytes.next_multiple_of(8));
    }

    /// Bytes of stack.
    pub fn stack_bytes(&self) -> u32 {
        self.stack_bytes
    }

    /// Whether two runs asked for different buffers: a bug.
    pub fn mismatch(&self) -> bool {
        self.mismatch
    }

    /// A buffer of so many bytes (made a multiple of 8), 8-byte aligned.
    pub fn alloc(&mut self, bytes: u32, access: Access, range: (u32, u32)) -> Mem {
        let bytes = bytes.next_multiple_of(8).max(8);
        let request = Request {
            bytes,
            access,
            range,
        };
        let index = self.next;
        self.next += 1;
        if self.places.is_empty() {
            self.requests.push(request);
        } else {
            self.mismatch |= self.requests.get(index) != Some(&request);
        }
        Mem::Buffer(index as u32, 0)
    }

    /// Where `mem` is when it is in a buffer; in the recording run anywhere. Only who makes
    /// instructions may ask: what code is made must not depend on it.
    pub fn locate(&self, mem: Mem) -> Mem {
        match mem {
            Mem::Buffer(number, off) => self
                .places
                .get(number as usize)
                .map_or(Mem::Stack(-8), |place| place.at(off)),
            mem => mem,
        }
    }

    /// Decides where all recorded buffers go, with at most so much stack.
    pub fn place(&mut self, stack_budget: u32) {
        let all: Vec<usize> = (0..self.requests.len()).collect();
        let must = |i: &usize| self.requests[*i].access == Access::Stack;
        let may = |i: &usize| match self.requests[*i].access {
            Access::Fixed => !self.all_in_frame,
            Access::Stack => true,
            Access::Variable => false,
        };
        // Small ones stay on the stack as long as they fit.
        let mut stack: Vec<usize> = all.iter().copied().filter(may).collect();
        stack.sort_by_key(|i| (!must(i), self.requests[*i].bytes, *i));
        let (mut fit, mut too_many) = (all.iter().filter(|i| must(i)).count(), stack.len() + 1);
        while fit + 1 < too_many {
            let some = usize::midpoint(fit, too_many);
            if self.colour(&stack[..some]).1 <= stack_budget {
                fit = some;
            } else {
                too_many = some;
            }
        }
        stack.truncate(fit);
        let mut on_stack = vec![false; self.requests.len()];
        for &i in &stack {
            on_stack[i] = true;
        }
        let rest: Vec<usize> = all.into_iter().filter(|i| !on_stack[*i]).collect();
        let (stack_at, stack_bytes) = self.colour(&stack);
        let (frame_at, frame_bytes) = self.colour(&rest);
        self.places = vec![Mem::Stack(-8); self.requests.len()];
        for (i, at) in stack_at {
            self.places[i] = Mem::Stack(at as i32 - stack_bytes as i32);
        }
        for (i, at) in frame_at {
            self.places[i] = Mem::Frame(FRAME_HEAD_BYTES + at);
        }
        self.stack_bytes = stack_bytes;
        self.frame_bytes = if rest.is_empty() && !self.all_in_frame {
            0
        } else {
            FRAME_HEAD_BYTES + frame_bytes
        };
    }

    /// First-fit offsets for some requests, in the order in which they begin to live, and the
    /// bytes they take in all.
    fn colour(&self, chosen: &[usize]) -> (Vec<(usize, u32)>, u32) {
        let mut chosen = chosen.to_vec();
        chosen.sort_by_key(|&i| (self.requests[i].range.0, i));
        // What is alive, by offset: end of the bytes, end of the life.
        let mut alive: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let mut offsets = Vec::with_capacity(chosen.len());
        let mut total = 0;
        for index in chosen {
            let Request { bytes, range, .. } = self.requests[index];
            alive.retain(|_, (_, last)| *last >= range.0);
            let mut at = 0;
            for (&start, &(end, _)) in &alive {
                if at + bytes <= start {
                    break;
                }
                at = at.max(end);
            }
            alive.insert(at, (at + bytes, range.1));
            offsets.push((index, at));
            total = total.max(at + bytes);
        }
        (offsets, total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disjoint_lifetimes_share() {
        let mut buffers = Buffers::default();
        buffers.alloc(16, Access::Fixed, (0, 3));
        buffers.alloc(8, Access::Fixed, (3, 4));
        buffers.alloc(16, Access::Fixed, (4, 9));
        buffers.place(400);
        buffers.restart();
        let mut again = |bytes, range| {
            let buffer = buffers.alloc(bytes, Access::Fixed, range);
            buffers.locate(buffer)
        };
        assert_eq!(again(16, (0, 3)), Mem::Stack(-24));
        assert_eq!(again(8, (3, 4)), Mem::Stack(-8));
        assert_eq!(again(16, (4, 9)), Mem::Stack(-24));
        assert!(!buffers.needs_frame() && !buffers.mismatch());
    }

    #[test]
    fn variable_ones_leave_the_stack() {
        let mut buffers = Buffers::default();
        buffers.alloc(8, Access::Fixed, (0, 3));
        buffers.alloc(64, Access::Variable, (0, 3));
        buffers.place(400);
        buffers.restart();
        let fixed = buffers.alloc(8, Access::Fixed, (0, 3));
        assert_eq!(buffers.locate(fixed), Mem::Stack(-8));
        let variable = buffers.alloc(64, Access::Variable, (0, 3));
        assert_eq!(buffers.locate(variable), Mem::Frame(FRAME_HEAD_BYTES));
        assert_eq!(buffers.frame_bytes(), 72);
    }
}
