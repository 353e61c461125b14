//! Any bytes as what a store gives back: a record, a snapshot.

use mqtt5_proto::{Client, Config, Instant, Record, RecordError, SessionSnapshot};

/// What every snapshot begins with.
const HEAD: &[u8] = b"mqtt5 session\x01";

/// Nothing panics; what is taken means the same when it is written again; a session that is restored from it can be
/// written and restored again.
pub(crate) fn check(bytes: &[u8]) {
    match Record::decode(bytes) {
        Ok((record, length)) => {
            let again = encode(&record);
            assert_eq!(Record::decode(&again), Ok((record, again.len())));
            assert!(again.len() <= length && length <= bytes.len());
            for cut in 0..length {
                assert!(Record::decode(&bytes[..cut]).is_err(), "at {cut}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    snapshot(bytes);
    snapshot(&[HEAD, bytes].concat());
}

fn encode(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = vec![0; record.encoded_len().unwrap()];
    assert_eq!(record.encode(&mut bytes), Ok(bytes.len()));
    bytes
}

fn snapshot(bytes: &[u8]) {
    let snapshot = match SessionSnapshot::from_bytes(bytes.to_vec()) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let began = bytes.starts_with(HEAD);
            assert_eq!(began, !is_foreign(error), "{error:?}");
            return;
        }
    };
    assert!(snapshot.records().count() <= bytes.len());
    assert_eq!(snapshot.as_bytes(), bytes);
    for write_ahead in [false, true] {
        let mut config = Config::default();
        config.write_ahead = write_ahead;
        let Some(first) = restored(config, &snapshot) else {
            continue;
        };
        let second = restored(config, &first).unwrap();
        assert_eq!(restored(config, &second).unwrap(), second);
    }
}

const fn is_foreign(error: RecordError) -> bool {
    matches!(
        error,
        RecordError::NoSnapshot | RecordError::UnknownFormat(_)
    )
}

/// What a machine that begins with a session says of it, once it has told what ended.
fn restored(config: Config, snapshot: &SessionSnapshot) -> Option<SessionSnapshot> {
    let mut client = Client::new(config);
    let restored = client.restore(Instant::ZERO, snapshot.records());
    if restored.is_err() {
        assert!(!client.has_session());
        assert_eq!((client.pending(), client.in_flight()), (0, 0));
        return None;
    }
    while client.poll_event(Instant::ZERO).is_some() {}
    while client.poll_persist().is_some() {}
    Some(client.snapshot())
}
