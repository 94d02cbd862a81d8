// Package journal keeps what a node must not lose: records, each a key and a
// value that only its caller understands, and payloads, each under a number. It
// keeps them in a directory, on Pebble, or in memory.
//
//	j, err := journal.Open(dir, journal.Options{Owner: peerID})
//	err = j.Replay(func(key, value []byte) error { … })   // at the start
//	n, err := j.Sweep(named)                              // payloads, against those that records name
//
//	b := j.Batch()                                        // one turn, one batch, one sync
//	b.Set(key, value)
//	b.SetPayload(j.NextPayload(), small)
//	b.DropPayload(number)
//	err = b.Commit(true)
//
//	w, err := j.CreatePayload(j.NextPayload(), size)      // a stream's goroutine
//	_, err = io.Copy(w, stream)
//	err = w.Finish()                                      // before the record that names it
//
// Payloads lie on disk as they are, not encrypted. The directories that the
// journal makes can be entered by their owner alone (0700), its files read by
// their owner alone (0600).
//
// # The directory
//
//	LOCK                    held while the journal is open
//	records/                a Pebble database: records and small payloads
//	records/SYNCED          how far its newest log was synced; see watermark.go
//	records/SYNCED.manifest the same of its manifest
//	records.new/            one that is being made; removed at the next start
//	payloads/<number>.payload
//	                        a payload of 1 MiB or more, or one that came while too
//	                        many others did; the number has 20 digits
//
// # Rows
//
// The database has rows of four kinds, told by the first byte of the key:
//
//	key                         value
//	'h'                         the owner's peer ID
//	'n'                         number (8): lower payload numbers may have been given
//	'p' | number (8)            a payload
//	'r' | the record's key      the record's value
//
// Numbers in keys, and that of row 'n', are big-endian. Around each value lie
// five bytes:
//
//	+-------------+-------+------------------------------------+
//	| version (1) | value | CRC-32C of key, version, value (4) |
//	+-------------+-------+------------------------------------+
//
// The version is 1. In any later version it still comes first and a checksum of
// the same kind last. Checksums, and numbers in payload files, are little-endian.
//
// # Payload files
//
//	+-------------------+-------------+------------+----------+-------------+
//	| "parley", 0, 'p'  | version (4) | number (8) | size (8) | CRC-32C (4) |  header, 32 bytes
//	+-------------------+-------------+------------+----------+-------------+
//	| up to 65,536 bytes of the payload             | CRC-32C (4)           |  piece 0
//	+-----------------------------------------------+-----------------------+
//	| …                                                                     |  pieces 1, 2, …
//	+-----------------------------------------------------------------------+
//
// The header's checksum covers the bytes before it; a piece's covers number (8),
// index of the piece (4) and bytes. All pieces but the last are full.
//
// # Why Pebble, and where it is watched
//
// A batch goes to Pebble's write-ahead log in one write and one sync, and is
// deleted again, in most cases, before it leaves the memory table. What Pebble
// does that a journal must not do is caught around it:
//
//   - It takes some damage of a log or of its manifest for the end: log_check.go
//     reads each first, and watermark.go keeps how far it must be readable.
//   - It reports errors of a commit, and of its manifest, by a call that is
//     expected to end the process: pebble.go fails the journal instead, and
//     guard.go sees to it that nothing on disk changes from then on.
//   - It panics, in a way that can't be recovered from, where a log can't be ended or
//     the next one begun: guard.go and watermark.go don't tell it of such an error.
//   - It repeats a failed flush at once and for ever, and lets commits wait for
//     it: pebble.go ends the one, backlog.go replaces the other.
//   - It merges tables while its Open still runs, and a failing Open takes down what
//     that reads, which ends the process: compactions.go lets it begin afterwards.
//
// # Crashes
//
// Each line is a place where the machine may stop, and what is then found.
//
//   - While a journal is made: records.new, removed at the next start. Open
//     hadn't returned.
//   - After a commit without sync: the log keeps batches in order, so any number
//     of the latest may be missing, none before a synced one.
//   - While a batch is written: its chunks in the log are incomplete. The torn
//     tail, above the watermark, is cut, with a warning that names file and
//     offset. Commit hadn't returned.
//   - After a sync, before the watermark is written, or written but not on disk:
//     the watermark is stale, and still true.
//   - After Finish of a small payload, before the record that names it: the
//     payload's row is there or not. If it is, Sweep deletes it. The record
//     can't be there without it: it follows in the same log, and when Pebble
//     begins another log it syncs the one before.
//   - While a large payload is written: an incomplete file, which no record
//     names, for the record is written after the file and its name are synced.
//     Sweep unlinks it. Its number isn't given again.
//   - After a batch that drops a large payload, before the unlink: a file that
//     no record names; Sweep unlinks it. The unlink waits until the batch is
//     durable, else a record could come back and find the file gone.
//   - After a payload number was given: row 'n' was synced before, so the next
//     start gives higher ones.
//   - While Pebble moves rows from the log into tables: it goes on from its
//     manifest, at the state before or after.
//
// # Failures
//
// The first write or sync of the database that the disk refuses fails the
// journal: Failed is closed, that Commit and every later call give ErrFailed.
// What the refused batch held may be found after a restart, or not; what was
// acknowledged before is found. A failed sync isn't tried again, as the kernel
// may have dropped the pages meanwhile. A payload file that can't be written
// fails that payload alone.
//
// Pebble can't be closed safely after some failures. Its memory, open files and
// a few idle goroutines then stay until the process ends; the directory can be
// opened again once the journal is closed.
//
// # Damage
//
// Every byte read is covered by a checksum: Pebble's over chunks of logs and
// blocks of tables, and those above over rows and files from end to end. Damage
// found at the start or in a record refuses to open or replay; damage of a
// payload is an error to whoever reads it. Sweep finds a payload that a record
// names and that is gone. The error is a DamageError and names the place. Dump lists what can still be read.
//
// # Limitations
//
//   - A power cut may leave a stale watermark. Damage between it and the log's
//     end that no later chunk speaks for, or a cut at the end of a chunk, then
//     looks like a torn tail. Only a copy elsewhere could tell.
//   - A power cut may leave a log without a watermark, and tears a manifest above
//     its own. A torn tail may then look, by chance and at most once in some ten
//     thousand times, like a flipped bit. The journal is refused, nothing is lost.
//   - A disk that acknowledges a sync and doesn't write isn't found out.
//   - Whole files that are set back to an older state together are a valid older
//     journal; the peers' sequence numbers show it.
//   - A journal is read by one process at a time, also by Dump, which writes the
//     lock's file and nothing else.
//   - The lock is one of the operating system; network file systems may not have
//     it.
//   - A batch should stay well below 2 MiB: a larger one is moved into a table
//     at once. At 4 GiB Pebble panics.
package journal
