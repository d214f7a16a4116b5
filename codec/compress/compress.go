package compress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// Attribute is the message attribute that names a body's encoding, by the names
// of HTTP's Content-Encoding. It is written in lower case and read in any, as HTTP does.
const Attribute = "content-encoding"

// The encodings.
const (
	Gzip = "gzip"
	Zstd = "zstd"
)

const identity = "identity"

// Config says how bodies are compressed and decompressed. The zero Config has
// the defaults.
type Config struct {
	// Encoding is what bodies are compressed with: [Gzip], which everything
	// reads, or [Zstd], which is smaller and faster to read. Empty means
	// Zstd. Decoding knows both, whatever it is.
	Encoding string

	// MinBytes is the shortest body that is compressed. Zero means
	// 1 KiB, 1 compresses every body. One that would not get
	// shorter is left as it is.
	MinBytes int

	// MaxBytes is how long a decompressed body may be, and with it the memory
	// that one message can claim: a kilobyte of gzip can be a megabyte of zeros.
	// Zero means 64 MiB.
	MaxBytes int
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Encoding = cmp.Or(d.Encoding, Zstd)
	return d, errors.Join(
		setting.Refuse(d.Encoding != Gzip && d.Encoding != Zstd, "Encoding is %q: it must be %q or %q", d.Encoding, Gzip, Zstd),
		setting.Default("MinBytes", &d.MinBytes, 1<<10),
		setting.Default("MaxBytes", &d.MaxBytes, 64<<20),
	)
}

func known() string { return strings.Join([]string{Gzip, identity, Zstd}, ", ") }

var (
	// ErrTooLarge is in the error of a body that would be longer than MaxBytes.
	ErrTooLarge = errors.New("the decompressed body is too large")
	// ErrUnknownEncoding is in the error of a body in an encoding that this
	// package does not know.
	ErrUnknownEncoding = errors.New("unknown content-encoding")
)

// Codec returns a codec that compresses what inner writes, and decompresses what
// inner reads. A nil inner is [handler.JSON], a nil config has the defaults.
//
// Decode leaves the message as it is and gives inner a copy. Encode replaces a
// content-encoding that the message has from an earlier life, and fails where
// inner sets one itself.
func Codec(inner handler.Codec, config *Config) (handler.Codec, error) {
	if inner == nil {
		inner = handler.JSON
	}
	t, err := newTransformer(config)
	if err != nil {
		return nil, err
	}
	return &codec{inner: inner, t: t}, nil
}

// Middleware returns the middleware that hands the handler a copy of each
// compressed message with its body decompressed and without the attribute. What
// cannot be decompressed is rejected and does not reach the handler. The message
// itself is not changed. Of config only MaxBytes matters; nil has the defaults.
func Middleware(config *Config) (handler.Middleware, error) {
	t, err := newTransformer(config)
	if err != nil {
		return nil, err
	}
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			plain, err := t.inflate(m)
			if err != nil {
				return handler.Reject(fmt.Errorf("message %q: %w", m.ID, err))
			}
			return next.Handle(ctx, plain)
		})
	}, nil
}

type codec struct {
	inner handler.Codec
	t     *transformer
}

func (c *codec) Encode(m *handler.Message, v any) error {
	before := encodings(m)
	for name := range before {
		delete(m.Attributes, name)
	}
	err := c.encode(m, v)
	if err != nil {
		for name, value := range before {
			m.SetAttribute(name, value)
		}
	}
	return err
}

func (c *codec) encode(m *handler.Message, v any) error {
	if err := c.inner.Encode(m, v); err != nil {
		return err
	}
	for name, e := range encodings(m) {
		return fmt.Errorf("the inner codec has set %s=%q, and a body is compressed once", name, e)
	}
	if len(m.Body) < c.t.MinBytes {
		return nil
	}
	if small := c.t.deflate(m.Body); len(small) < len(m.Body) {
		m.Body = small
		m.SetAttribute(Attribute, c.t.Encoding)
	}
	return nil
}

func (c *codec) Decode(m *handler.Message, v any) error {
	plain, err := c.t.inflate(m)
	if err != nil {
		return err
	}
	return c.inner.Decode(plain, v)
}

// inflate returns m itself where it is not compressed, and otherwise a copy,
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
			return nil, fmt.Errorf("the attribute %s is there %d times, in different case, and says different things", Attribute, len(found))
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

// encodings returns the attributes of m that are called content-encoding in any case.
// Other clients write them as HTTP's header.
func encodings(m *handler.Message) map[string]string {
	var found map[string]string
	for name, value := range m.Attributes {
		if len(name) != len(Attribute) || !strings.EqualFold(name, Attribute) {
			continue
		}
		if found == nil {
			found = make(map[string]string, 1)
		}
		found[name] = value
	}
	return found
}
