//! Cuts long blocks of LIR in pieces. Parts of a long program begin where blocks do (`outline`), and a handler of a thousand
//! assignments would be one block.

use crate::lir::{Block, BlockCall, BlockData, Function, Terminator};

/// Operations of a handler whose blocks are left as they are.
const SHORT: usize = 400;
/// Operations of a piece.
const PIECE: usize = 16;

/// Cuts the blocks of a long function.
pub fn cut(mut function: Function) -> Function {
    let all = function.blocks.values().map(|block| block.insts.len());
    if all.sum::<usize>() <= SHORT {
        return function;
    }
    for block in function.blocks.keys().collect::<Vec<_>>() {
        let data = &mut function.blocks[block];
        if data.insts.len() <= PIECE {
            continue;
        }
        let rest = data.insts.split_off(PIECE);
        let term = std::mem::replace(&mut data.term, Terminator::Unreachable);
        let span = data.term_span;
        let mut last = block;
        for piece in rest.chunks(PIECE) {
            let next = function.blocks.push(BlockData {
                params: Vec::new(),
                insts: piece.to_vec(),
                term: Terminator::Unreachable,
                term_span: span,
                loop_head: None,
            });
            function.blocks[last].term = jump(next);
            last = next;
        }
        function.blocks[last].term = term;
    }
    function
}

fn jump(block: Block) -> Terminator {
    Terminator::Jump(BlockCall {
        block,
        args: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use rtap_grammar::source::Span;

    use super::*;
    use crate::lir::{Inst, Op};

    fn function(insts: usize) -> Function {
        let inst = Inst {
            op: Op::RequestExit,
            result: None,
            span: Span::NONE,
        };
        let mut function = Function {
            name: "f".to_owned(),
            params: Vec::new(),
            ret: None,
            blocks: cranelift_entity::PrimaryMap::new(),
            values: cranelift_entity::PrimaryMap::new(),
            span: Span::NONE,
        };
        function.blocks.push(BlockData {
            params: Vec::new(),
            insts: vec![inst; insts],
            term: Terminator::Return(None),
            term_span: Span::NONE,
            loop_head: None,
        });
        cut(function)
    }

    #[test]
    fn only_long_handlers_are_cut() {
        assert_eq!(function(SHORT).blocks.len(), 1);
        let long = function(SHORT + 1);
        assert_eq!(long.blocks.len(), (SHORT + 1).div_ceil(PIECE));
        let insts: usize = long.blocks.values().map(|block| block.insts.len()).sum();
        assert_eq!(insts, SHORT + 1);
        let last = long.blocks.values().next_back().map(|block| &block.term);
        assert_eq!(last, Some(&Terminator::Return(None)));
    }
}
