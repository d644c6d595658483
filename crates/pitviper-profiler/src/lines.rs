//! Tables that say which line an instruction is of, in the forms that CPython has had.

/// The line of the instruction at `index`, counted in code units of two bytes; a negative index is before
/// the first instruction. `None` for instructions of no line, or a table that does not reach so far.
pub(crate) fn line_of(version: (u8, u8), table: &[u8], first_line: i32, index: i64) -> Option<i32> {
    if index < 0 {
        return Some(first_line);
    }
    match version {
        (3, ..10) => pairs(table, first_line, index * 2),
        (3, 10) => signed_pairs(table, first_line, index * 2),
        _ => locations(table, first_line, index),
    }
}

/// Up to 3.9: pairs of how far the bytes go and how far the lines go.
fn pairs(table: &[u8], first_line: i32, at: i64) -> Option<i32> {
    let (mut address, mut line) = (0, first_line);
    for pair in table.chunks_exact(2) {
        address += i64::from(pair[0]);
        if address > at {
            break;
        }
        line += i32::from(pair[1] as i8);
    }
    Some(line)
}

/// 3.10: pairs of how many bytes a range has and how far its line is from the one before; -128 for none.
fn signed_pairs(table: &[u8], first_line: i32, at: i64) -> Option<i32> {
    let (mut end, mut line) = (0, first_line);
    for pair in table.chunks_exact(2) {
        let step = pair[1] as i8;
        if step != i8::MIN {
            line += i32::from(step);
        }
        end += i64::from(pair[0]);
        if end > at {
            return (step != i8::MIN).then_some(line);
        }
    }
    None
}

/// From 3.11: an entry has a first byte of its kind and how many units it is for, and then numbers, whose
/// bytes have the high bit clear.
fn locations(table: &[u8], first_line: i32, index: i64) -> Option<i32> {
    let (mut end, mut line, mut at) = (0, first_line, 0);
    while let Some(&head) = table.get(at) {
        let kind = (head >> 3) & 15;
        let step = match kind {
            // Without columns, and with all: the line comes first, as a signed number.
            13 | 14 => signed(table, at + 1),
            11 | 12 => i32::from(kind) - 10,
            _ => 0,
        };
        line = line.wrapping_add(step);
        end += i64::from(head & 7) + 1;
        if end > index {
            return (kind != 15).then_some(line);
        }
        at += 1;
        while table.get(at).is_some_and(|byte| byte & 0x80 == 0) {
            at += 1;
        }
    }
    None
}

/// A number in groups of six bits, the lowest first; bit 6 says that more follow. Its lowest bit is the sign.
fn signed(table: &[u8], at: usize) -> i32 {
    let mut value = 0_u32;
    for (place, byte) in table.iter().skip(at).take(6).enumerate() {
        value |= u32::from(byte & 63).wrapping_shl(6 * place as u32);
        if byte & 64 == 0 {
            break;
        }
    }
    let size = (value >> 1) as i32;
    if value & 1 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_up_to_3_9_is_read() {
        // Lines 1, 2 from byte 4, and 1 again from byte 10.
        let table = [4, 1, 6, 0xFF];
        let lines = |index| line_of((3, 9), &table, 1, index);
        assert_eq!([lines(0), lines(1), lines(2), lines(4), lines(5), lines(99)], [1, 1, 2, 2, 1, 1].map(Some));
        assert_eq!(lines(-1), Some(1));
    }

    #[test]
    fn a_table_of_3_10_is_read() {
        let table = [4, 0, 2, 0x80, 4, 2];
        let lines = |index| line_of((3, 10), &table, 5, index);
        assert_eq!([lines(0), lines(1), lines(2), lines(3), lines(9)], [Some(5), Some(5), None, Some(7), None]);
    }

    #[test]
    fn a_table_from_3_11_is_read() {
        // Two units of the first line in the short form, one with a line ahead, one in the long form and 70
        // lines back, one of none.
        let table = [0x80 | 1, 0x11, 0x80 | (11 << 3), 1, 2, 0x80 | (14 << 3), 0x40 | 13, 2, 0, 1, 2, 0x80 | (15 << 3)];
        let lines = |index| line_of((3, 12), &table, 100, index);
        let all = [Some(100), Some(100), Some(101), Some(31), None, None];
        assert_eq!([lines(0), lines(1), lines(2), lines(3), lines(4), lines(5)], all);
    }

    #[test]
    fn no_table_makes_it_fail() {
        for version in [(3, 9), (3, 10), (3, 13)] {
            for byte in 0..=255_u8 {
                for length in 0..9 {
                    line_of(version, &vec![byte; length], i32::MAX / 2, 40);
                }
            }
        }
    }
}
