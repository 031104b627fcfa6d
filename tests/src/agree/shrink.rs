//! Makes a failing script smaller by its text: whole blocks go, then blocks lose their braces, then
//! lines go, then bracketed parts become constants, as long as the fault stays.

use std::time::{Duration, Instant};

/// The smallest script found within `time` for which `fails` holds.
pub fn shrink(script: &str, time: Duration, mut fails: impl FnMut(&str) -> bool) -> String {
    let mut lines: Vec<String> = script.lines().map(str::to_owned).collect();
    let start = Instant::now();
    let mut accept =
        |candidate: &[String]| start.elapsed() < time && fails(&(candidate.join("\n") + "\n"));
    loop {
        let before = lines.clone();
        drop_ranges(&mut lines, &mut accept);
        simplify_lines(&mut lines, &mut accept);
        if lines == before {
            return lines.join("\n") + "\n";
        }
    }
}

/// Tries to do without each block, each pair of braces, each line.
fn drop_ranges(lines: &mut Vec<String>, accept: &mut impl FnMut(&[String]) -> bool) {
    let mut at = 0;
    while at < lines.len() {
        let end = block_end(lines, at);
        let without = [&lines[..at], &lines[end + 1..]].concat();
        if accept(&without) {
            *lines = without;
            continue;
        }
        if end > at {
            let unwrapped = [&lines[..at], &lines[at + 1..end], &lines[end + 1..]].concat();
            if accept(&unwrapped) {
                *lines = unwrapped;
                continue;
            }
        }
        at += 1;
    }
}

/// The line that closes the block which line `at` opens, or `at`.
fn block_end(lines: &[String], at: usize) -> usize {
    let mut depth = 0;
    for (number, line) in lines.iter().enumerate().skip(at) {
        let count = |wanted: char| line.chars().filter(|c| *c == wanted).count() as i64;
        depth += count('{') - count('}');
        if depth <= 0 {
            return number;
        }
    }
    at
}

/// Tries to put a constant, or what is inside, for each bracketed part and each call.
fn simplify_lines(lines: &mut [String], accept: &mut impl FnMut(&[String]) -> bool) {
    for number in 0..lines.len() {
        let mut from = 0;
        while let Some(start) = lines[number][from..].find('(').map(|at| at + from) {
            from = start + 1;
            let Some(end) = closing(&lines[number], start) else {
                break;
            };
            let inside = lines[number][start + 1..end].to_owned();
            // A call goes with its name.
            let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let start = lines[number][..start].trim_end_matches(name).len();
            for constant in ["0", "1", "\"a\"", inside.as_str()] {
                let old = lines[number].clone();
                if old[start..=end].len() <= constant.len() {
                    continue;
                }
                lines[number] = format!("{}{constant}{}", &old[..start], &old[end + 1..]);
                if accept(lines) {
                    from = start;
                    break;
                }
                lines[number] = old;
            }
        }
    }
}

/// Where the bracket that opens at `start` closes; brackets in texts are not looked for, but
/// a wrong guess only makes a script that does not compile.
fn closing(line: &str, start: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in line.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let script = "probe begin {\n  a = 1;\n  if (a) {\n    b = (3 + (4 * bad));\n  }\n}\n";
        let small = shrink(script, Duration::from_mins(1), |text| text.contains("bad"));
        assert_eq!(small, "    b = 3 + 4 * bad;\n");
    }
}
