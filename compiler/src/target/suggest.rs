//! "did you mean": the nearest names to one that does not exist.

/// Longest name that is compared.
const MAX_NAME_BYTES: usize = 128;

/// Up to `limit` names that are near `name`, nearest first, equals in the given order.
///
/// Near is an edit distance of at most a third of the name's length.
pub fn suggest<'n>(
    name: &str,
    candidates: impl IntoIterator<Item = &'n str>,
    limit: usize,
) -> Vec<&'n str> {
    let wanted = name.as_bytes();
    if wanted.is_empty() || wanted.len() > MAX_NAME_BYTES {
        return Vec::new();
    }
    let worst = (wanted.len() / 3).max(1);
    let mut row = Vec::new();
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(wanted.len()) <= worst)
        .filter_map(|candidate| {
            let distance = distance(wanted, candidate.as_bytes(), worst, &mut row)?;
            Some((distance, candidate))
        })
        .collect();
    near.sort_by_key(|&(distance, _)| distance);
    near.dedup_by_key(|&mut (_, candidate)| candidate);
    near.into_iter()
        .take(limit)
        .map(|(_, candidate)| candidate)
        .collect()
}

/// Edit distance (insert, delete, replace), `None` when it is above `worst`.
fn distance(a: &[u8], b: &[u8], worst: usize, row: &mut Vec<usize>) -> Option<usize> {
    row.clear();
    row.extend(0..=b.len());
    for (i, &left) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        let mut best = i + 1;
        for (j, &right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!left.eq_ignore_ascii_case(&right));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
            best = best.min(row[j + 1]);
        }
        if best > worst {
            return None;
        }
    }
    row.last().copied().filter(|&distance| distance <= worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_names() {
        let names = ["vfs_read", "vfs_write", "vfs_readv", "do_sys_open", "x"];
        assert_eq!(suggest("vfs_raed", names, 3), ["vfs_read"]);
        assert_eq!(suggest("vfs_reads", names, 3), ["vfs_read", "vfs_readv"]);
        assert_eq!(suggest("vfs_reads", names, 1), ["vfs_read"]);
        assert!(suggest("", names, 3).is_empty());
        assert!(suggest("zzz", names, 3).is_empty());
        assert!(suggest(&"v".repeat(100_000), names, 3).is_empty());
    }
}
