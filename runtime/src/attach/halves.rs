//! One link for many places: a place that cannot be probed fails its whole link. Which one it is, is
//! found by halves, so that it fails alone.

use std::io;

use super::{AttachError, Attachment, Outcome};
use crate::bpf::Link;

/// Links each group of places by `link`. Of an error that comes from a place `wrong` gives the
/// place's position and what is wrong with it; any other ends the attempt, and nothing is attached.
pub(super) fn by_halves<'p, P>(
    groups: Vec<Vec<&'p P>>,
    link: impl Fn(&[&'p P]) -> io::Result<Link>,
    wrong: impl Fn(&P, &io::Error) -> Option<(usize, AttachError)>,
) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut todo = groups;
    while let Some(mut group) = todo.pop() {
        let Some(&first) = group.first() else {
            continue;
        };
        match link(&group) {
            Ok(link) => outcome.links.push(Attachment::Link(link)),
            Err(error) => match wrong(first, &error) {
                None => return Err(error),
                Some(failed) if group.len() == 1 => outcome.failed.push(failed),
                Some(_) => {
                    todo.push(group.split_off(group.len() / 2));
                    todo.push(group);
                }
            },
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_probed_fails_alone() {
        let places: Vec<usize> = (0..100).collect();
        let bad = [3, 50, 51, 99];
        let seen = std::cell::RefCell::new(Vec::new());
        let link = |group: &[&usize]| {
            if group.iter().any(|place| bad.contains(*place)) {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            seen.borrow_mut().extend(group.iter().map(|place| **place));
            let null = std::fs::File::open("/dev/null")?;
            Ok(Link::from_fd(null.into()))
        };
        let wrong = |place: &usize, _: &io::Error| Some((*place, AttachError::NoPoints));
        let outcome = by_halves(vec![places.iter().collect()], link, wrong).expect("links");
        let failed: Vec<usize> = outcome.failed.iter().map(|(at, _)| *at).collect();
        assert_eq!(failed, bad);
        let mut seen = seen.into_inner();
        seen.sort_unstable();
        let good: Vec<usize> = places
            .iter()
            .copied()
            .filter(|p| !bad.contains(p))
            .collect();
        assert_eq!(seen, good);
        assert!(outcome.links.len() < 30, "{} links", outcome.links.len());
    }

    #[test]
    fn other_errors_end_it() {
        let link = |_: &[&usize]| Err(io::Error::from_raw_os_error(libc::ENOMEM));
        let wrong = |_: &usize, _: &io::Error| None;
        assert!(by_halves(vec![vec![&1, &2]], link, wrong).is_err());
    }
}
