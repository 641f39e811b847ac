"""The explorer's own test: ring.c with one ordering weakened, or one check removed, at a time.

Each mutant is a replacement in the text of one function of ring.c; the text must be there exactly once. A mutant is
`caught` when one of the named cases (all whose names begin so) fails, or the mutated code never ends an exploration. A
mutant that no case can catch, because another ordering gives what it gave, stands here with the reason, and must pass
the cases named.
"""

from dataclasses import dataclass


@dataclass
class Mutant:
    function: str
    old: str
    new: str
    cases: str          # separated by spaces: those that must catch it, or, with a reason, those that it must pass
    reason: str = ""    # why the code is as good without, in the model
    sample: bool = False


def weaker(function, access, cases, order="RELAXED", reason="", sample=False):
    """The access with a weaker order; `access` ends with the order it has, or with a text of which that is a part."""
    for strong in ("ACQUIRE", "RELEASE", "SEQ_CST"):
        if strong in access:
            return Mutant(function, access, access.replace(strong, order, 1), cases, reason, sample)
    raise ValueError(access)


def without(function, text, cases, reason="", sample=False):
    return Mutant(function, text, "", cases, reason, sample)


LOCK = (
    "the lane's lock orders a successor behind the dead writer; the order matters only to a lane handed over in "
    "another way"
)
FENCED = "the fence beside it orders this access; seq_cst here is only for the reader of the code"
UNDAMAGED = "another answer only for a damaged slot or head, which no writer makes: tests/c/test_ring_hostile.c"

MUTANTS = [
    # ---- ring_writer_start ----
    weaker("ring_writer_start", "&ring->lane->head, ACQUIRE", "take-over reject", reason=LOCK),
    weaker("ring_writer_start", "->state, ACQUIRE", "take-over reject", reason=LOCK),
    Mutant(
        "ring_writer_start",
        "        head++;\n        atomic_store_explicit(&ring->lane->head, head, RELEASE);",
        "",
        "take-over",
        sample=True,
    ),
    without(
        "ring_writer_start", "        atomic_store_explicit(&ring->lane->head, head, RELEASE);\n", "take-over-twice"
    ),
    weaker("ring_writer_start", "head, RELEASE", "take-over"),
    Mutant("ring_writer_start", "== committed(head)", ">= announced(head)", "take-over"),
    weaker("ring_writer_start", "&ring->lane->tail, ACQUIRE", "reject-take-over"),
    # ---- ring_full ----
    weaker("ring_full", "tail, ACQUIRE", "reject", sample=True),
    Mutant("ring_full", "return writer->next - writer->tail_seen >= slots", "return 0", "reject"),
    Mutant("ring_full", "tail_seen >= slots", "tail_seen > slots", "reject"),
    Mutant("ring_full", "tail_seen < slots", "tail_seen <= slots", "reject"),
    # ---- ring_write ----
    without(
        "ring_write", "    atomic_store_explicit(&slot->state, announced(sequence), RELEASE);\n", "read", sample=True
    ),
    weaker("ring_write", "announced(sequence), RELEASE", "read take-over"),
    without("ring_write", "    atomic_thread_fence(RELEASE);\n", "read", sample=True),
    weaker("ring_write", "atomic_thread_fence(RELEASE", "read", order="ACQUIRE"),
    Mutant(
        "ring_write",
        "    atomic_store_explicit(&slot->state, announced(sequence), RELEASE);\n    atomic_thread_fence(RELEASE);\n",
        "    atomic_thread_fence(RELEASE);\n    atomic_store_explicit(&slot->state, announced(sequence), RELEASE);\n",
        "read",
    ),
    weaker("ring_write", "committed(sequence), RELEASE", "read", sample=True),
    Mutant(
        "ring_write",
        "    copy_in(payload_of(slot), message->payload, message->size);\n",
        "    atomic_store_explicit(&slot->state, committed(sequence), RELEASE);\n"
        "    copy_in(payload_of(slot), message->payload, message->size);\n",
        "read",
        sample=True,
    ),
    Mutant(
        "ring_write",
        "    atomic_store_explicit(&slot->size, message->size, RELAXED);\n",
        "    atomic_store_explicit(&slot->state, committed(sequence), RELEASE);\n"
        "    atomic_store_explicit(&slot->size, message->size, RELAXED);\n",
        "read",
    ),
    Mutant(
        "ring_write",
        "    /* Release: the commit.",
        "    atomic_store_explicit(&ring->lane->head, sequence + 1, RELEASE);\n    /* Release: the commit.",
        "read",
    ),
    weaker("ring_write", "sequence + 1, RELEASE", "read", sample=True),
    without("ring_write", "    atomic_store_explicit(&ring->lane->head, sequence + 1, RELEASE);\n", "read"),
    Mutant("ring_write", "writer->reject && ring_full(writer)", "0 && ring_full(writer)", "reject"),
    Mutant("ring_write", "rejected + 1", "rejected", "reject"),
    # ---- ring_peek, ring_validate, ring_read ----
    weaker("ring_peek", "&slot->state, ACQUIRE", "read", sample=True),
    Mutant("ring_peek", "state < committed(sequence)", "state < announced(sequence)", "peek"),
    Mutant("ring_peek", "ring_head(ring) > sequence ? -ESTALE : -EAGAIN", "-EAGAIN", "read"),
    Mutant(
        "ring_peek",
        "ring_head(ring) > sequence ? -ESTALE : -EAGAIN",
        "-ESTALE",
        "read-topic peek newest",
        reason=UNDAMAGED,
    ),
    Mutant(
        "ring_peek",
        "ring_validate(ring, sequence) ? -EBADMSG : -ESTALE",
        "-EBADMSG",
        "read-topic peek newest",
        reason=UNDAMAGED,
    ),
    Mutant(
        "ring_peek",
        "if (state > committed(sequence))",
        "if (0)",
        "read-topic peek newest",
        reason="ring_validate finds the overwrite too; the early look only spares the copy, and keeps damaged slots "
        "apart",
    ),
    without("ring_validate", "    atomic_thread_fence(ACQUIRE);\n", "read peek", sample=True),
    weaker("ring_validate", "atomic_thread_fence(ACQUIRE", "read peek", order="RELEASE"),
    Mutant("ring_validate", "== committed(sequence)", ">= committed(sequence)", "read peek"),
    Mutant("ring_validate", "return atomic_load", "return 1 || atomic_load", "read peek"),
    Mutant("ring_read", "return ring_validate(ring, sequence) ? 0 : -ESTALE", "return 0", "read", sample=True),
    Mutant("ring_read", "ring_validate(ring, sequence) ? -EMSGSIZE : -ESTALE", "-EMSGSIZE", "read-small"),
    Mutant(
        "ring_read",
        "    copy_out(space->payload, payload_of(slot), message->size);\n",
        "    rc = ring_validate(ring, sequence) ? 0 : -ESTALE;\n"
        "    copy_out(space->payload, payload_of(slot), message->size);\n"
        "    if (!topic) {\n        message->payload = space->payload;\n        return rc;\n    }\n",
        "read",
    ),
    Mutant(
        "ring_read",
        "    if (space->topic && message->topic_size > 0)\n"
        "        copy_out(space->topic, topic_of(ring, slot), message->topic_size);\n"
        "    message->payload = space->payload;\n    message->topic = space->topic;\n"
        "    return ring_validate(ring, sequence) ? 0 : -ESTALE;",
        "    message->payload = space->payload;\n    message->topic = space->topic;\n"
        "    rc = ring_validate(ring, sequence) ? 0 : -ESTALE;\n"
        "    if (space->topic && message->topic_size > 0)\n"
        "        copy_out(space->topic, topic_of(ring, slot), message->topic_size);\n    return rc;",
        "read-topic",
    ),
    Mutant(
        "copy_in",
        "word = 0;\n        memcpy(&word, bytes, size);\n        atomic_store_explicit(to, word, RELAXED);",
        "word = 0;",
        "read",
    ),
    # ---- ring_resync, ring_check_damage, ring_head ----
    Mutant("ring_resync", "return head - slots", "return head - slots + 1", "read read-lapped newest"),
    Mutant("ring_resync", "return head - slots", "return head - slots - 1", "read read-lapped"),
    Mutant("ring_resync", "return head - slots", "return head", "read read-lapped newest"),
    Mutant("ring_resync", "return sequence + 1", "return sequence", "read"),
    weaker(
        "ring_resync",
        "ACQUIRE",
        "read newest",
        reason="only the value is compared, and ring_head's acquire has made at least this one visible",
    ),
    Mutant("ring_resync", " >= committed(head - 1)", " >= 0", "read newest", reason=UNDAMAGED),
    weaker(
        "ring_check_damage",
        "ACQUIRE",
        "read-topic read-unlapped take-over",
        reason="only the value is compared, and ring_head's acquire has made at least this one visible",
    ),
    Mutant("ring_check_damage", "sequence > head + 1", "sequence > head", "read"),
    Mutant(
        "ring_check_damage",
        "    uint64_t head = ring_head(ring);",
        "    uint64_t state = atomic_load_explicit(&slot_at(ring, sequence)->state, ACQUIRE);\n"
        "    uint64_t head = ring_head(ring);\n\n"
        "    if (head > sequence && state < committed(sequence))\n        return -EBADMSG;",
        "read",
    ),
    weaker("ring_head", "ACQUIRE", "read", sample=True),
    # ---- The ledger ----
    weaker("ring_ledger_load", "ledger_turn, ACQUIRE", "ledger", sample=True),
    without("ring_ledger_load", "        atomic_thread_fence(ACQUIRE);\n", "ledger"),
    Mutant(
        "ring_ledger_load", "if (atomic_load_explicit(&lane->ledger_turn, RELAXED) == turn)", "", "ledger", sample=True
    ),
    without("ring_ledger_store", "    atomic_thread_fence(RELEASE);\n", "ledger", sample=True),
    weaker("ring_ledger_store", "turn, RELEASE", "ledger"),
    weaker(
        "ring_ledger_store",
        "&lane->tail, ledger->tail, RELEASE",
        "reject",
        reason="the release fence above comes after the gateway's reads too, and this store carries what was before "
        "the fence",
    ),
    Mutant("ring_ledger_store", "ledger[turn % 2]", "ledger[(turn + 1) % 2]", "ledger"),
    Mutant(
        "ring_ledger_store",
        "    struct layout_ledger *cell = &lane->ledger[turn % 2];\n",
        "    struct layout_ledger *cell = &lane->ledger[turn % 2];\n"
        "    atomic_store_explicit(&lane->ledger_turn, turn, RELEASE);\n",
        "ledger",
    ),
    Mutant(
        "ring_ledger_store",
        "    struct layout_ledger *cell = &lane->ledger[turn % 2];\n",
        "    struct layout_ledger *cell = &lane->ledger[turn % 2];\n"
        "    atomic_store_explicit(&lane->tail, ledger->tail, RELEASE);\n",
        "reject-restart",
    ),
    without("ring_ledger_store", "    atomic_store_explicit(&lane->tail, ledger->tail, RELEASE);\n", "reject"),
    # ---- The doorbell ----
    without("ring_notify", "    atomic_thread_fence(SEQ_CST);\n", "doorbell"),
    weaker("ring_notify", "atomic_thread_fence(SEQ_CST", "doorbell", order="memory_order_acq_rel"),
    weaker("ring_notify", "atomic_load_explicit(word, SEQ_CST", "doorbell", reason=FENCED),
    weaker("ring_notify", "bit, SEQ_CST", "doorbell", sample=True),
    weaker("ring_notify", "bit, SEQ_CST", "doorbell", order="memory_order_acq_rel"),
    weaker("ring_notify", "gateway_sleeps, SEQ_CST", "doorbell"),
    weaker("ring_notify", "gateway_sleeps, SEQ_CST", "doorbell", order="ACQUIRE"),
    Mutant(
        "ring_notify",
        "atomic_fetch_or_explicit(word, bit, SEQ_CST)",
        "atomic_store_explicit(word, bit, SEQ_CST)",
        "doorbell doorbell-two",
    ),
    Mutant(
        "ring_notify",
        "    atomic_thread_fence(SEQ_CST);\n",
        "    uint32_t sleeps = (uint32_t)atomic_load_explicit(&header->gateway_sleeps, SEQ_CST);\n"
        "    atomic_thread_fence(SEQ_CST);\n"
        "    if (sleeps == 0) {\n        atomic_fetch_or_explicit(word, bit, SEQ_CST);\n        return 0;\n    }\n",
        "doorbell",
        sample=True,
    ),
    Mutant(
        "ring_posted",
        "atomic_compare_exchange_strong_explicit(&header->gateway_sleeps, &sleep, 0, SEQ_CST, SEQ_CST)",
        "(void)sleep;\n    atomic_store_explicit(&header->gateway_sleeps, 0, SEQ_CST)",
        "doorbell doorbell-two",
    ),
    Mutant(
        "ring_posted",
        "atomic_compare_exchange_strong_explicit(&header->gateway_sleeps, &sleep, 0, SEQ_CST, SEQ_CST)",
        "(void)sleep;\n    (void)header",
        "doorbell",
    ),
    Mutant(
        "ring_posted",
        "&sleep, 0, SEQ_CST, SEQ_CST",
        "&sleep, 0, RELAXED, RELAXED",
        "doorbell doorbell-two notify-event",
        reason="the post came before it, and whoever reads the 0 has set its bit before the gateway's next seq_cst "
        "store here",
    ),
    weaker("ring_take_dirty", "0, SEQ_CST", "doorbell"),
    without(
        "ring_take_dirty",
        "    atomic_thread_fence(SEQ_CST); /* pairs with the fence in ring_notify */\n",
        "doorbell",
        sample=True,
    ),
    Mutant(
        "ring_take_dirty",
        "bits = atomic_exchange_explicit(&dirty[word], 0, SEQ_CST)",
        "bits = atomic_load_explicit(&dirty[word], SEQ_CST);\n    atomic_store_explicit(&dirty[word], 0, SEQ_CST)",
        "doorbell doorbell-two",
        sample=True,
    ),
    weaker("ring_sleep", "sleep, SEQ_CST", "doorbell notify-event", reason=FENCED),
    without("ring_sleep", "    atomic_thread_fence(SEQ_CST);\n", "notify-event", sample=True),
    weaker("ring_sleep", "atomic_thread_fence(SEQ_CST", "notify-event", order="memory_order_acq_rel"),
    without("ring_sleep", "    atomic_store_explicit(&header->gateway_sleeps, sleep, SEQ_CST);\n", "doorbell"),
    Mutant("ring_sleep", "RELAXED) + 1", "RELAXED) * 0 + 1", "doorbell doorbell-two"),
    weaker("ring_any_dirty", "SEQ_CST", "doorbell", reason=FENCED),
    Mutant(
        "ring_any_dirty",
        "        if (atomic_load_explicit(&dirty[word], SEQ_CST) != 0)\n            return 1;",
        "        (void)dirty;",
        "doorbell",
    ),
    weaker(
        "ring_wake",
        "SEQ_CST",
        "doorbell notify-event",
        reason="a writer that still sees the sleep posts once too often, and ring_posted's number keeps that harmless",
    ),
    without("ring_notify_event", "    atomic_thread_fence(SEQ_CST);\n", "notify-event"),
    weaker("ring_notify_event", "gateway_sleeps, SEQ_CST", "notify-event", reason=FENCED),
    # ---- Sleeping readers ----
    weaker("ring_reader_sleep", "wake_word, SEQ_CST", "wake"),
    weaker("ring_reader_sleep", "1, SEQ_CST", "wake", reason=FENCED),
    without("ring_reader_sleep", "    atomic_thread_fence(SEQ_CST);\n", "wake", sample=True),
    Mutant(
        "ring_reader_sleep",
        "    uint32_t word = atomic_load_explicit(&channel->wake_word, SEQ_CST);\n\n"
        "    atomic_store_explicit(&channel->reader_sleeps, 1, SEQ_CST);\n",
        "    uint32_t word;\n\n    atomic_store_explicit(&channel->reader_sleeps, 1, SEQ_CST);\n"
        "    word = (uint32_t)atomic_load_explicit(&channel->wake_word, SEQ_CST);\n",
        "wake",
        sample=True,
    ),
    without("ring_reader_sleep", "    atomic_store_explicit(&channel->reader_sleeps, 1, SEQ_CST);\n", "wake"),
    without("ring_wake_readers", "    atomic_thread_fence(SEQ_CST);\n", "wake"),
    weaker("ring_wake_readers", "&channel->reader_sleeps, SEQ_CST", "wake", reason=FENCED),
    weaker(
        "ring_wake_readers",
        "0, SEQ_CST",
        "wake",
        reason="the seq_cst update of wake_word behind it carries it to every reader that takes the new word; the "
        "old word does not let one sleep",
    ),
    weaker("ring_wake_readers", "1, SEQ_CST", "wake"),
    without("ring_wake_readers", "    atomic_fetch_add_explicit(&channel->wake_word, 1, SEQ_CST);\n", "wake"),
    Mutant(
        "ring_wake_readers",
        "    atomic_store_explicit(&channel->reader_sleeps, 0, SEQ_CST);\n"
        "    atomic_fetch_add_explicit(&channel->wake_word, 1, SEQ_CST);\n",
        "    atomic_fetch_add_explicit(&channel->wake_word, 1, SEQ_CST);\n"
        "    atomic_store_explicit(&channel->reader_sleeps, 0, SEQ_CST);\n",
        "wake",
    ),
    Mutant("ring_wake_readers", "== 0", ">= 0", "wake"),
    # ---- Flags ----
    weaker("ring_retired", "ACQUIRE", "retired"),
    weaker("ring_retire", "RELEASE", "retired"),
    weaker("ring_publish_magic", "LAYOUT_MAGIC, RELEASE", "magic", sample=True),
]
