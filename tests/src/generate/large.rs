//! Large scripts, for measuring the compiler: every statement is of a usual kind, and none is like
//! another.

use std::fmt::Write as _;

/// A script of so many statements that call twenty small functions, divided among handlers of these points.
pub fn large(statements: usize, points: &[&str]) -> String {
    let mut out = String::from("global g, a, s, c, names\n");
    for n in 0..20 {
        let _ = writeln!(
            out,
            "function fn{n}:long(x:long, y:long) {{ if (x > {n}) return x * y + {n}; return y - x }}"
        );
    }
    let each = statements / points.len().max(1);
    for (handler, point) in points.iter().enumerate() {
        let _ = writeln!(out, "probe {point} {{");
        for n in handler * each..(handler + 1) * each {
            statement(&mut out, n);
        }
        out.push_str("}\n");
    }
    out.push_str("probe end { println(@count(s)) foreach (n in names) println(names[n]) }\n");
    out
}

/// One of the statements.
fn statement(out: &mut String, n: usize) {
    let _ = match n % 6 {
        0 => writeln!(out, "  g += fn{}(g, {n})", n % 20),
        1 => writeln!(out, "  a[{n}] = g + {n}"),
        2 => writeln!(out, "  s <<< {n} + g"),
        3 => writeln!(out, "  if (g == {n}) c[\"k{n}\"]++"),
        4 => writeln!(out, "  printf(\"%d %s\\n\", g, execname())"),
        _ => writeln!(out, "  names[pid()] = sprintf(\"%d\", g + {n})"),
    };
}
