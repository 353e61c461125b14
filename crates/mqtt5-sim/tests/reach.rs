//! What a few seeds reach: a workload that no longer does something must not go unnoticed.

/// Words of a line of transcripts, in any order, each with what they stand for.
const REACHED: [(&str, &str); 19] = [
    ("is published", "a will"),
    ("DISCONNECT 0x04", "a disconnect with will"),
    ("closed:1883", "a server that refuses"),
    ("silent:1883", "a server that never answers"),
    ("0x9c", "a redirect"),
    ("0x9d", "a server that has moved"),
    ("broker sends CONNACK 0x88", "a server that is unavailable"),
    ("broker sends CONNACK 0x97", "a quota that is exceeded"),
    ("broker sends SUBACK … 0x87", "a filter that is refused"),
    ("--> sends PUBLISH … by alias", "a Topic Alias"),
    ("mishap: Drop", "an answer that is lost"),
    ("mishap: Repeat", "an answer that is sent twice"),
    (
        "Failed(Intercepted)",
        "a publish that an interceptor refuses",
    ),
    (
        "Failed(Superseded)",
        "a retained message that is not needed any more",
    ),
    ("Failed(Withdrawn)", "a publish that is withdrawn"),
    (
        "Failed(Expired)",
        "a publish that expires before it is sent",
    ),
    ("declines an attempt", "an attempt that is declined"),
    ("ended with its answer", "a request that is answered"),
    ("ended without an answer", "a request that is not"),
];

#[test]
fn a_few_seeds_reach_everything() {
    let mut missing: Vec<_> = REACHED.to_vec();
    for seed in 0..200 {
        let lines = mqtt5_sim::transcript(seed);
        let has = |line: &String, words: &str| words.split(" … ").all(|word| line.contains(word));
        missing.retain(|(words, _)| !lines.iter().any(|line| has(line, words)));
        if missing.is_empty() {
            return;
        }
    }
    panic!("no seed reaches {missing:?}");
}
