//! Layouts as SystemTap 4.8 printed them for the same values.

use super::*;

fn show(kind: Histogram, values: &[(i64, usize)]) -> String {
    let mut counts = vec![0; kind.buckets()];
    for (value, times) in values {
        counts[kind.bucket_of(*value)] += *times as i64;
    }
    let mut out = Vec::new();
    histogram(&mut out, kind, &counts);
    String::from_utf8(out).unwrap()
}

fn linear(low: i64, high: i64, width: i64) -> Histogram {
    Histogram::Linear { low, high, width }
}

/// The lines without their bars: label and count.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| {
            line.replace(['@', '|'], "")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[test]
fn a_whole_histogram() {
    let text = show(linear(0, 10240, 200), &[(100, 1650), (250, 8), (1300, 1)]);
    assert_eq!(
        text,
        "\
value |-------------------------------------------------- count
    0 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 1650
  200 |                                                      8
  400 |                                                      0
  600 |                                                      0
  800 |                                                      0
 1000 |                                                      0
 1200 |                                                      1
 1400 |                                                      0
 1600 |                                                      0

"
    );
}

#[test]
fn runs_of_empty_buckets_are_elided() {
    let text = show(
        linear(0, 100, 10),
        &[(5, 1), (95, 1), (100, 1), (101, 1), (1000, 1)],
    );
    assert_eq!(
        text,
        "\
value |-------------------------------------------------- count
    0 |@                                                  1
   10 |                                                   0
   20 |                                                   0
      ~
   70 |                                                   0
   80 |                                                   0
   90 |@                                                  1
  100 |@@                                                 2
 >100 |@                                                  1

"
    );
}

#[test]
fn bars_scale_by_whole_numbers() {
    let text = show(Histogram::Log, &[(1, 51), (2, 1), (40, 1)]);
    assert_eq!(
        text,
        "\
value |-------------------------------------------------- count
    0 |                                                    0
    1 |@@@@@@@@@@@@@@@@@@@@@@@@@                          51
    2 |                                                    1
    4 |                                                    0
    8 |                                                    0
   16 |                                                    0
   32 |                                                    1
   64 |                                                    0
  128 |                                                    0

"
    );
}

#[test]
fn negative_values_of_a_logarithmic_one() {
    let text = show(
        Histogram::Log,
        &[(-5, 1), (0, 1), (1, 1), (3_000_000, 1), (-70_000, 1)],
    );
    assert!(text.starts_with("  value |---"), "{text}");
    assert_eq!(
        lines(&text),
        [
            "-262144 0",
            "-131072 0",
            "-65536 1",
            "-32768 0",
            "-16384 0",
            "~",
            "-16 0",
            "-8 0",
            "-4 1",
            "-2 0",
            "-1 0",
            "0 1",
            "1 1",
            "2 0",
            "4 0",
            "~",
            "524288 0",
            "1048576 0",
            "2097152 1",
            "4194304 0",
            "8388608 0",
        ]
    );
}

#[test]
fn zero_is_the_lowest_bucket_without_negative_values() {
    assert_eq!(
        lines(&show(Histogram::Log, &[(0, 1)])),
        ["0 1", "1 0", "2 0"]
    );
    assert_eq!(
        lines(&show(Histogram::Log, &[(-3, 1), (-1, 1)])),
        ["-8 0", "-4 0", "-2 1", "-1 1", "0 0", "1 0"]
    );
}

#[test]
fn the_ends_of_the_number_range() {
    let text = show(Histogram::Log, &[(i64::MIN, 1), (i64::MAX, 1)]);
    assert_eq!(
        lines(&text),
        [
            "-9223372036854775808 1",
            "-4611686018427387904 0",
            "-2305843009213693952 0",
            "~",
            "1152921504606846976 0",
            "2305843009213693952 0",
            "4611686018427387904 1",
        ]
    );
}

#[test]
fn overflow_buckets_show_when_in_use() {
    assert_eq!(
        lines(&show(linear(-50, 50, 10), &[(1000, 1)])),
        ["40 0", "50 0", ">50 1"]
    );
    assert_eq!(
        lines(&show(linear(-50, 50, 10), &[(-1000, 1)])),
        ["<-50 1", "-50 0", "-40 0"]
    );
    assert_eq!(
        lines(&show(linear(0, 100, 10), &[(95, 1)])),
        ["70 0", "80 0", "90 1", "100 0"]
    );
    let wide = show(
        linear(0, 10_000_000, 1_000_000),
        &[(100_000_000, 1), (-100, 1)],
    );
    assert!(wide.starts_with("    value |---"), "{wide}");
    assert!(wide.contains("\n          ~\n"), "{wide}");
    assert!(wide.contains("\n>10000000 |@"), "{wide}");
}

#[test]
fn the_last_label_is_the_last_step() {
    let values = [(5, 1), (9, 1), (10, 1), (94, 1), (95, 1), (100, 1)];
    assert_eq!(
        lines(&show(linear(10, 95, 10), &values)),
        [
            "<10 2", "10 1", "20 0", "30 0", "~", "70 0", "80 0", "90 2", ">90 1"
        ]
    );
}

#[test]
fn every_bucket_has_its_own_label_and_holds_it() {
    for kind in [
        Histogram::Log,
        linear(-7, 22, 3),
        linear(i64::MIN, i64::MAX, 1 << 60),
    ] {
        let mut labels: Vec<_> = (0..kind.buckets()).map(|b| bucket_label(kind, b)).collect();
        for (bucket, label) in labels.iter().enumerate() {
            let text = String::from_utf8(label.clone()).unwrap();
            if let Ok(value) = text.parse::<i64>() {
                // A negative logarithmic bucket's label is its end nearest to zero.
                assert_eq!(kind.bucket_of(value), bucket, "{text}");
            }
        }
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), kind.buckets());
    }
}

#[test]
fn any_counts_give_lines_of_one_length() {
    let mut state = 12345_u64;
    for _ in 0..200 {
        let kind = linear(-100, 100, 7);
        let counts: Vec<i64> = (0..kind.buckets())
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                if state >> 61 == 0 {
                    (state >> 40) as i64
                } else {
                    0
                }
            })
            .collect();
        let mut out = Vec::new();
        histogram(&mut out, kind, &counts);
        let text = String::from_utf8(out).unwrap();
        let widths: Vec<usize> = text
            .lines()
            .skip(1)
            .filter(|l| l.contains('|'))
            .map(str::len)
            .collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        let total: i64 = lines(&text)
            .iter()
            .filter_map(|line| line.split_once(' '))
            .map(|(_, count)| count.parse::<i64>().unwrap())
            .sum();
        assert_eq!(total, counts.iter().sum::<i64>());
    }
}
