//! Walks through graphs of blocks.

/// The blocks that can be reached from the first, in reverse postorder: each stands behind those that
/// dominate it. `successors` calls a function on each block to which a block leads.
pub fn reverse_postorder(
    count: usize,
    first: usize,
    successors: impl Fn(usize, &mut dyn FnMut(usize)),
) -> Vec<usize> {
    let mut seen = vec![false; count];
    let mut order = Vec::new();
    let mut todo = vec![(first, false)];
    while let Some((block, done)) = todo.pop() {
        if done {
            order.push(block);
            continue;
        }
        if std::mem::replace(&mut seen[block], true) {
            continue;
        }
        todo.push((block, true));
        successors(block, &mut |to| {
            if !seen[to] {
                todo.push((to, false));
            }
        });
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_stands_behind_what_leads_to_it() {
        // 4 cannot be reached.
        let graph: [&[usize]; 5] = [&[1, 2], &[3], &[3], &[0], &[3]];
        let order = reverse_postorder(5, 0, |block, f| graph[block].iter().for_each(|to| f(*to)));
        let place = |block| order.iter().position(|b| *b == block);
        assert_eq!((order.len(), place(0), place(3)), (4, Some(0), Some(3)));
    }
}
