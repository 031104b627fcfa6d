//! Values in map memory: keys, array elements, scalars.

use rtap_compiler::image::Slot;
use rtap_compiler::lir::Ty;

use super::text::until_nul;
use super::{BadRecord, Text, Value};

/// The value in a slot of `bytes`. A late string stays the record that it is.
pub fn read_slot(slot: Slot, bytes: &[u8]) -> Result<Value, BadRecord> {
    let start = slot.offset as usize;
    let field = bytes
        .get(start..start + slot.width() as usize)
        .ok_or(BadRecord::Corrupt("a value lies outside of its map"))?;
    Ok(match slot.ty {
        Ty::I64 => {
            let mut word = [0; 8];
            word.copy_from_slice(&field[..8]);
            Value::Int(i64::from_le_bytes(word))
        }
        Ty::Str { late: false, .. } => Value::from(field),
        Ty::Str { late: true, .. } => Value::Str(Text::record(field)),
    })
}

/// The characters in a plain string's slot.
pub fn slot_text(field: &[u8]) -> &[u8] {
    until_nul(field)
}

/// Writes `value` into its slot of `bytes`: strings cut to the slot's cap and zero-padded,
/// late ones as their record.
pub fn write_slot(slot: Slot, value: &Value, bytes: &mut [u8]) -> Result<(), BadRecord> {
    let start = slot.offset as usize;
    let field = bytes
        .get_mut(start..start + slot.width() as usize)
        .ok_or(BadRecord::Corrupt("a value lies outside of its map"))?;
    match slot.ty {
        Ty::I64 => field.copy_from_slice(&value.int().to_le_bytes()),
        Ty::Str { cap, late } => {
            let most = if late { field.len() } else { cap as usize };
            let text = value.bytes();
            let length = text.len().min(most);
            field[..length].copy_from_slice(&text[..length]);
            field[length..].fill(0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let int = Slot {
            offset: 0,
            ty: Ty::I64,
        };
        let text = Slot {
            offset: 8,
            ty: Ty::str(5),
        };
        let mut bytes = [0xff; 16];
        write_slot(int, &Value::Int(-2), &mut bytes).unwrap();
        write_slot(text, &Value::from("abcdefg"), &mut bytes).unwrap();
        assert_eq!(&bytes[8..], b"abcde\0\0\0");
        assert_eq!(read_slot(int, &bytes), Ok(Value::Int(-2)));
        assert_eq!(read_slot(text, &bytes), Ok(Value::from("abcde")));
        assert!(read_slot(text, &bytes[..12]).is_err());
    }

    #[test]
    fn a_late_string_keeps_its_record() {
        let slot = Slot {
            offset: 0,
            ty: Ty::Str {
                cap: 23,
                late: true,
            },
        };
        let record = [
            3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let value = read_slot(slot, &record).unwrap();
        let mut again = [0xff; 24];
        write_slot(slot, &value, &mut again).unwrap();
        assert_eq!(again, record);
    }
}
