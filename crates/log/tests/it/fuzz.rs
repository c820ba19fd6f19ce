//! The fuzzers' entries over a fixed corpus and some thousand changes of it.

use hook_log::fuzz;
use proptest::{collection::vec, prelude::*};

fn corpus() -> Vec<Vec<u8>> {
    let large = vec![7; 3000];
    let sound = fuzz::sound_segment(&[b"one", b"", b"three", &large, b"five"]);
    let inside = fuzz::sound_segment(&[b"x", &fuzz::sound_segment(&[b"a", b"b", b"c"]), b"y"]);
    let mut reserved = sound.clone();
    reserved.resize(sound.len() + 5000, 0);
    vec![Vec::new(), vec![0; 4096], vec![0xff; 100], b"HKL1".to_vec(), sound, inside, reserved]
}

#[test]
fn the_corpus_holds() {
    for bytes in corpus() {
        fuzz::segment(&bytes);
        for length in 0..bytes.len().min(300) {
            fuzz::frame(&bytes[length..]);
            fuzz::segment(&bytes[..bytes.len() - length]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_segments_hold(
        which in 0..corpus().len(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = corpus().swap_remove(which);
        if !bytes.is_empty() {
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
        }
        fuzz::frame(&bytes);
        fuzz::segment(&bytes);
    }
}
