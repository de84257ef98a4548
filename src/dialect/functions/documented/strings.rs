use super::check;

#[test]
fn searching() {
    check(&[
        ("ASCII('!')", "33"),
        ("ASCII('')", "0"),
        ("UNICODE('❄')", "10052"),
        ("CHR(83)", "S"),
        ("CHR(128064)", "👀"),
        ("CHAR(-1)", "error"),
        ("CHARINDEX('an', 'banana')", "2"),
        ("CHARINDEX('an', 'banana', 3)", "4"),
        ("CHARINDEX('an', 'banana', 5)", "0"),
        ("CHARINDEX('', 'banana')", "1"),
        ("CHARINDEX('ñ', 'piñata')", "3"),
        ("POSITION('an' IN 'banana')", "2"),
        ("POSITION('na', 'banana', 4)", "5"),
        ("CONTAINS('ice tea', 'te')", "true"),
        ("STARTSWITH('ice tea', 'te')", "false"),
        ("ENDSWITH('ice tea', 'ea')", "true"),
        ("CONTAINS(NULL, 'x')", "NULL"),
        ("EDITDISTANCE('future', 'past', 2) < 2", "false"),
        ("EDITDISTANCE('Gute nacht', 'Ich weis nicht')", "8"),
        ("LENGTH('Joyeux Noël')", "11"),
        ("OCTET_LENGTH('Joyeux Noël')", "12"),
        ("BIT_LENGTH('abc')", "24"),
        ("RTRIMMED_LENGTH('  ABCD  ')", "6"),
    ]);
}

#[test]
fn changing() {
    check(&[
        ("CONCAT('a', NULL)", "NULL"),
        ("CONCAT('a', 1, 'b')", "a1b"),
        ("CONCAT_WS('-', 'a', 'b', 'c')", "a-b-c"),
        ("CONCAT_WS('-', 'a', NULL)", "NULL"),
        ("INITCAP('the quick bRown-fox_jumps 1st')", "The Quick Brown-Fox_Jumps 1st"),
        ("INITCAP('this is a test', '')", "This is a test"),
        ("INITCAP('alpha.beta gamma', '.')", "Alpha.Beta gamma"),
        ("INSERT('abcdef', 3, 2, 'zzz')", "abzzzef"),
        ("INSERT('abc', 1, 2, 'Z')", "Zc"),
        ("INSERT('abc', 0, 2, 'Z')", "error"),
        ("LEFT('ABCDEF', 3)", "ABC"),
        ("RIGHT('ABCDEFG', 3)", "EFG"),
        ("RIGHT('ABC', -1)", ""),
        ("LPAD('123.50', 19, '*_')", "*_*_*_*_*_*_*123.50"),
        ("LPAD('Hello', 3)", "Hel"),
        ("RPAD('Hello', 8, '')", "Hello"),
        ("RPAD('né', 4, 'ü')", "néüü"),
        ("LTRIM('#000000123', '0#')", "123"),
        ("RTRIM('$125.00', '0.')", "$125"),
        ("TRIM('*-*ABC-*-', '*-')", "ABC"),
        ("TRIM('\\tx ')", "\tx"),
        ("REPEAT('xy', 5)", "xyxyxyxyxy"),
        ("REPEAT('xy', -1)", ""),
        ("REPLACE('abcd', 'bc')", "ad"),
        ("REPLACE('abcd', '', 'x')", "abcd"),
        ("REVERSE('Hello, wörld!')", "!dlröw ,olleH"),
        ("CONCAT('[', SPACE(3), ']')", "[   ]"),
        ("TRANSLATE('peña','ñ','n')", "pena"),
        ("TRANSLATE('❄a❄bX❄dc❄','abcd❄','1234')", "12X43"),
        ("TRANSLATE('a','a','bc')", "error"),
        ("UPPER('Straße é')", "STRASSE É"),
        ("SUBSTR('testing 1 2 3', 9, 3)", "1 2"),
        ("SUBSTR('mystring', -3)", "ing"),
        ("SUBSTR('mystring', 3, NULL)", "NULL"),
        ("SUBSTR('mystring')", "error"),
        ("SOUNDEX('Ashcraft')", "A261"),
        ("JAROWINKLER_SIMILARITY('Snowflake', 'ORACLE')", "61"),
    ]);
}

#[test]
fn splitting() {
    check(&[
        ("SPLIT('127.0.0.1', '.')", r#"["127","0","0","1"]"#),
        ("SPLIT('|a||', '|')", r#"["","a","",""]"#),
        ("SPLIT('a', '')", r#"["a"]"#),
        ("SPLIT(NULL, '.')", "NULL"),
        ("SPLIT_PART('11.22.33', '.', 2)", "22"),
        ("SPLIT_PART('11.22.33', '.', 0)", "11"),
        ("SPLIT_PART('11.22.33', '.', -1)", "33"),
        ("SPLIT_PART('11.22.33', '.', 5)", ""),
        ("SPLIT_PART('|a|b|c|', '|', 1)", ""),
        ("SPLIT_PART('aaa', '', 1)", "aaa"),
        ("STRTOK('a.b.c', '.', 1)", "a"),
        ("STRTOK('user@snowflake.com', '@.', 3)", "com"),
        ("STRTOK('user@snowflake.com', '@.', 4)", "NULL"),
        ("STRTOK('', '', 1)", "NULL"),
        ("STRTOK('a.b', '', 1)", "a.b"),
        ("STRTOK_TO_ARRAY('a.b.c', '.')", r#"["a","b","c"]"#),
        ("STRTOK_TO_ARRAY('snow  flake')", r#"["snow","flake"]"#),
    ]);
}

/// Snowflake's documented example of ENCRYPT_RAW.
#[test]
fn encryption() {
    let arguments = "SHA2_BINARY('NotSecretEnough', 256), SUBSTR(TO_BINARY(HEX_ENCODE('AlsoNotSecretEnough')), 0, 12), \
                     TO_BINARY(HEX_ENCODE('additional data')), 'AES-GCM'";
    let encrypted = format!("ENCRYPT_RAW(TO_BINARY(HEX_ENCODE('Bonjour')), {arguments})");
    let part = |name: &str| format!("AS_BINARY(GET({encrypted}, '{name}'))");
    let opened = format!("DECRYPT_RAW({}, {arguments}, {})", part("ciphertext"), part("tag"));
    check(&[
        (&part("ciphertext"), "CA2F4A383F6F55"),
        (&part("iv"), "416C736F4E6F745365637265"),
        (&part("tag"), "91F28FBC6A2FE9B213D1C44B8D75D147"),
        (&opened, "426F6E6A6F7572"),
        (&format!("TRY_DECRYPT_RAW({}, {arguments}, TO_BINARY(REPEAT('00', 16)))", part("ciphertext")), "NULL"),
    ]);
}

#[test]
fn digests_and_encodings() {
    check(&[
        ("MD5('Snowflake')", "edf1439075a83a447fb8b630ddc9c8de"),
        ("MD5_NUMBER_LOWER64('Snowflake')", "9203306159527282910"),
        ("MD5_NUMBER_UPPER64('Snowflake')", "17145559544104499780"),
        ("SHA1('Snowflake')", "fda76b0bcc1e87cf259b1d1e3271d76f590fb5dd"),
        ("SHA2('Snowflake', 224)", "6267d3d7a59929e6864dd4b737d98e3ef8569d9f88a7466647838532"),
        ("SHA2('', 256)", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("SHA2('x', 1)", "error"),
        ("HEX_ENCODE('SNOW')", "534E4F57"),
        ("HEX_ENCODE('SNOW', 0)", "534e4f57"),
        ("HEX_DECODE_STRING('534E4F57')", "SNOW"),
        ("HEX_DECODE_BINARY('534e4f57')", "534E4F57"),
        ("TRY_HEX_DECODE_STRING('5')", "NULL"),
        ("HEX_DECODE_STRING('5')", "error"),
        ("BASE64_ENCODE('Snowflake')", "U25vd2ZsYWtl"),
        (
            "BASE64_ENCODE('Snowflake ❄❄❄ Snowman ☃☃☃', 32, '$')",
            "U25vd2ZsYWtlIOKdhOKdhOKdhCBTbm93\nbWFuIOKYg$KYg$KYgw==",
        ),
        (
            "BASE64_DECODE_STRING('U25vd2ZsYWtlIOKdhOKdhOKdhCBTbm93\\nbWFuIOKYg$KYg$KYgw==', '$')",
            "Snowflake ❄❄❄ Snowman ☃☃☃",
        ),
        ("TO_BINARY('SNOW', 'utf-8')", "534E4F57"),
        ("TO_BINARY('534E4F57')", "534E4F57"),
        ("TRY_TO_BINARY('5', 'HEX')", "NULL"),
        ("TO_CHAR(TO_BINARY('SNOW', 'utf-8'), 'base64')", "U05PVw=="),
        ("TO_CHAR(12.345, '$99.9')", " $12.3"),
        ("TO_VARCHAR(1.50)", "1.5"),
        ("TO_CHAR(TO_DATE('2013-04-05'), 'mm/dd/yyyy, hh24:mi')", "04/05/2013, 00:00"),
        ("TO_CHAR(TO_TIMESTAMP('2013-04-05 14:02:03'), 'MMMM DD, YY HH12:MI AM')", "April 05, 13 02:02 PM"),
        ("COMPRESS('Snowflake', 'SNAPPY')", "0920536E6F77666C616B65"),
        ("DECOMPRESS_STRING(TO_BINARY('0920536E6F77666C616B65', 'HEX'), 'SNAPPY')", "Snowflake"),
        ("DECOMPRESS_STRING(COMPRESS('Snowflake', 'ZSTD(19)'), 'ZSTD')", "Snowflake"),
        ("DECOMPRESS_STRING(COMPRESS('Snowflake', 'ZLIB'), 'ZLIB')", "Snowflake"),
        ("COMPRESS('Snowflake', 'LZ9')", "error"),
        ("TRY_BASE64_DECODE_STRING('127')", "NULL"),
        ("BASE64_DECODE_BINARY('U05PVw==')", "534E4F57"),
    ]);
}
