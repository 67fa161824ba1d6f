//! Bytes as hexadecimal digits.

/// Two lower-case digits for each byte.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that a text of digits stands for, in upper or lower case; none when it is not such a text.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_and_go() {
        assert_eq!(encode([0, 0x0f, 0xa5]), "000fa5");
        assert_eq!(decode("000fA5"), Some(vec![0, 0x0f, 0xa5]));
        for wrong in ["0", "0g", "+1", "ü"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
