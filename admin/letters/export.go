package letters

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// Export writes the dead letters of the queue behind source that o selects to w, a [Record]
// a line, and leaves them where they are. A nil o is the zero [Options].
func Export(ctx context.Context, source drivers.Source, w io.Writer, o *Options) (Result, error) {
	e := newLineEncoder(w)
	return Each(ctx, source, o, func(l Letter) error { return e.Encode(NewRecord(l)) })
}

func newLineEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// A part of an archive is stored before its letters are deleted: when it has so many
// letters, or so many bytes.
const (
	partLetters = 1000
	partBytes   = 16 << 20
)

// Archive moves the dead letters of the queue behind source that o selects into an archive.
// store is called with parts of it, a [Record] a line, and must have stored the part for
// good when it returns; only then are the letters of the part deleted. A crash in between
// leaves them in both places. A nil o is the zero [Options].
func Archive(ctx context.Context, source drivers.Source, store func(ctx context.Context, part []byte) error, o *Options) (Result, error) {
	opts, err := o.complete()
	if err != nil {
		return Result{}, err
	}
	a := &archive{store: store}
	a.lines = newLineEncoder(&a.part)
	return through(ctx, source, "archive", opts, a.take, a.flush)
}

// An archive has the part of an archive that is not stored yet.
type archive struct {
	store   func(context.Context, []byte) error
	part    bytes.Buffer
	lines   *json.Encoder
	waiting []drivers.Delivery
}

func (a *archive) take(ctx context.Context, s *scan.Scan, ds []drivers.Delivery, r *Result) error {
	if err := s.Hold(ctx, ds); err != nil {
		return err
	}
	for _, d := range ds {
		if err := a.lines.Encode(NewRecord(Of(d.Message))); err != nil {
			return err
		}
		a.waiting = append(a.waiting, d)
	}
	if len(a.waiting) < partLetters && a.part.Len() < partBytes {
		return nil
	}
	return a.flush(ctx, s, r)
}

// flush stores the part, then deletes its letters.
func (a *archive) flush(ctx context.Context, s *scan.Scan, r *Result) error {
	if len(a.waiting) == 0 {
		return nil
	}
	if err := a.store(ctx, a.part.Bytes()); err != nil {
		return fmt.Errorf("store %d letters: %w", len(a.waiting), err)
	}
	err := remove(ctx, s, a.waiting, r)
	a.part.Reset()
	a.waiting = nil
	return err
}

// Discard deletes the dead letters of the queue behind source that o selects, for good. A
// nil o is the zero [Options], which selects all.
func Discard(ctx context.Context, source drivers.Source, o *Options) (Result, error) {
	opts, err := o.complete()
	if err != nil {
		return Result{}, err
	}
	return through(ctx, source, "discard", opts, remove, nil)
}

// remove deletes letters.
func remove(ctx context.Context, s *scan.Scan, ds []drivers.Delivery, r *Result) error {
	var failure error
	for i, err := range s.Delete(ctx, ds) {
		if err == nil {
			r.Done++
		} else if failure == nil {
			failure = fmt.Errorf("letter %s could not be deleted: %w", ds[i].Message.ID, err)
		}
	}
	return failure
}

// Import sends letters to the dead-letter queue of the queue behind source, such as those of
// [ReadRecords], in batches. Of a nil o the zero [Options] count; Hold has no effect. A
// letter that o's filter does not select is left out. Import ends with the first letter that
// the queue refuses; those before it are in the queue, and another Import of the same
// letters sends them again, with the same identity. Result.Done is the number of letters
// that were sent.
func Import(ctx context.Context, source drivers.Source, from iter.Seq2[*handler.Message, error], o *Options) (r Result, err error) {
	opts, err := o.complete()
	if err != nil {
		return r, err
	}
	writer, ok := source.(deadletter.Writer)
	if !ok {
		return r, Unsupported(source, "import")
	}
	sink, err := writer.OpenDeadLetterSink(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	b := scan.NewBatch(sink.Capabilities())
	for m, fault := range from {
		if fault != nil {
			err = fault
			break
		}
		r.Seen++
		if !opts.Filter.Matches(Of(m)) {
			continue
		}
		r.Matched++
		if b.Full(m) {
			if err := sendBatch(ctx, sink, b, &r); err != nil {
				return r, err
			}
			opts.Progress(r)
		}
		b.Add(m)
		if opts.enough(r) {
			break
		}
	}
	// The letters before a fault are whole.
	return r, errors.Join(sendBatch(ctx, sink, b, &r), err)
}

// sendBatch sends a batch and empties it.
func sendBatch(ctx context.Context, sink drivers.Sink, b *scan.Batch, r *Result) error {
	ms := b.Take()
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.ID
	}
	var failure error
	for i, err := range scan.Send(ctx, sink, ms) {
		switch {
		case err == nil:
			r.Done++
		case failure == nil:
			failure = scan.Ended(ctx, fmt.Errorf("letter %s: %w", ids[i], err))
		}
	}
	return failure
}
