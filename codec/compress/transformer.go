package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sluice-go/sluice/handler"
)

// A transformer holds the encoders and decoders, which are expensive to create and
// are reused. Those of zstd are safe for concurrent use.
type transformer struct {
	Config
	writers, readers sync.Pool // of *gzip.Writer and *gzip.Reader
	encoder          *zstd.Encoder
	decoder          *zstd.Decoder
}

// window is the largest zstd window that is accepted: RFC 8878 recommends that
// decoders support 8 MiB. It costs no memory, since bodies are decoded whole.
const window = 8 << 20

func newTransformer(config *Config) (*transformer, error) {
	c, err := config.complete()
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	t := &transformer{Config: c}
	if t.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if t.decoder, err = zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderMaxMemory(uint64(t.MaxBytes)),
		zstd.WithDecoderMaxWindow(uint64(max(t.MaxBytes, window)))); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return t, nil
}

func (t *transformer) deflate(body []byte) []byte {
	if t.Encoding == Zstd {
		return t.encoder.EncodeAll(body, make([]byte, 0, len(body)/2))
	}
	var b bytes.Buffer
	b.Grow(len(body) / 2)
	w, ok := t.writers.Get().(*gzip.Writer)
	if ok {
		w.Reset(&b)
	} else {
		w = gzip.NewWriter(&b)
	}
	defer t.writers.Put(w)
	// Writing to a bytes.Buffer does not fail.
	_, _ = w.Write(body)
	_ = w.Close()
	return b.Bytes()
}

// inflate returns m itself if it is not compressed, and otherwise a decompressed copy,
// which has m's lease and origin.
func (t *transformer) inflate(m *handler.Message) (*handler.Message, error) {
	found := encodings(m)
	if len(found) == 0 {
		return m, nil
	}
	names := slices.Collect(maps.Values(found))
	name := strings.TrimSpace(names[0])
	for _, other := range names {
		if !strings.EqualFold(strings.TrimSpace(other), name) {
			return nil, fmt.Errorf("the attribute %s occurs %d times, in different case and with different values", contentEncoding, len(found))
		}
	}
	var (
		body []byte
		err  error
	)
	// HTTP compares these names without case (RFC 9110, section 8.4.1).
	switch encoding := strings.ToLower(name); encoding {
	case Gzip, "x-gzip":
		body, err = t.gunzip(m.Body)
	case Zstd:
		body, err = t.unzstd(m.Body)
	case identity:
		body = m.Body
	default:
		return nil, fmt.Errorf("%w %q: known are %s", ErrUnknownEncoding, name, known())
	}
	if err != nil {
		return nil, fmt.Errorf("decompress %d bytes of %s: %w", len(m.Body), name, err)
	}
	plain := *m
	plain.Body = body
	plain.Attributes = maps.Clone(m.Attributes)
	for attribute := range found {
		delete(plain.Attributes, attribute)
	}
	return &plain, nil
}

// encodings returns the attributes of m whose name is content-encoding in any case.
// Other clients spell it like HTTP's header.
func encodings(m *handler.Message) map[string]string {
	var found map[string]string
	for name, value := range m.Attributes {
		if len(name) != len(contentEncoding) || !strings.EqualFold(name, contentEncoding) {
			continue
		}
		if found == nil {
			found = make(map[string]string, 1)
		}
		found[name] = value
	}
	return found
}

func (t *transformer) gunzip(body []byte) ([]byte, error) {
	in := bytes.NewReader(body)
	r, ok := t.readers.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	defer t.readers.Put(r)
	if err := r.Reset(in); err != nil {
		return nil, cut(err)
	}
	var out bytes.Buffer
	out.Grow(min(4*len(body), t.MaxBytes))
	n, err := io.Copy(&out, io.LimitReader(r, int64(t.MaxBytes)+1))
	switch {
	case err != nil:
		return nil, cut(err)
	case n > int64(t.MaxBytes):
		return nil, t.tooLarge()
	}
	return slices.Clip(out.Bytes()), nil
}

func (t *transformer) unzstd(body []byte) ([]byte, error) {
	// DecodeAll accepts an empty input as zero frames, but here it is a lost body.
	if len(body) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	out, err := t.decoder.DecodeAll(body, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, t.tooLarge()
	case err != nil:
		return nil, err
	}
	return slices.Clip(out), nil
}

func (t *transformer) tooLarge() error {
	return fmt.Errorf("%w: the limit is %d bytes (Config.MaxBytes)", ErrTooLarge, t.MaxBytes)
}

// cut returns io.ErrUnexpectedEOF for an end in the middle of a stream.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
