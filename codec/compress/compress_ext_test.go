package compress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/compress"
	"github.com/sluice-go/sluice/handler"
)

func newCodec(t testing.TB, inner handler.Codec, c *compress.Config) handler.Codec {
	t.Helper()
	codec, err := compress.Codec(inner, c)
	require.NoError(t, err)
	return codec
}

func packed(t testing.TB, encoding string, body []byte) *handler.Message {
	t.Helper()
	m := &handler.Message{ID: "7"}
	require.NoError(t, newCodec(t, handler.Raw, &compress.Config{Encoding: encoding, MinBytes: 1}).Encode(m, body))
	require.Equal(t, encoding, m.Attribute("content-encoding"))
	return m
}

func TestRoundTrip(t *testing.T) {
	body := []byte(strings.Repeat(`{"order":7,"cents":500}`, 500))
	for _, encoding := range []string{compress.Gzip, compress.Zstd} {
		t.Run(encoding, func(t *testing.T) {
			codec := newCodec(t, handler.Raw, &compress.Config{Encoding: encoding})
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 10 {
						m := &handler.Message{Attributes: map[string]string{"tenant": "t1"}}
						assert.NoError(t, codec.Encode(m, body))                                                       //nolint:forbidigo // not the test's goroutine
						assert.Less(t, len(m.Body), len(body)/10)                                                      //nolint:forbidigo // not the test's goroutine
						assert.Equal(t, map[string]string{"tenant": "t1", "content-encoding": encoding}, m.Attributes) //nolint:forbidigo // not the test's goroutine
						small := bytes.Clone(m.Body)
						var got []byte
						assert.NoError(t, codec.Decode(m, &got))                       //nolint:forbidigo // not the test's goroutine
						assert.Equal(t, body, got)                                     //nolint:forbidigo // not the test's goroutine
						assert.Equal(t, small, m.Body, "decoding changed the message") //nolint:forbidigo // not the test's goroutine
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestWhatIsNotWorthItStaysAsItIs(t *testing.T) {
	noise := make([]byte, 4096)
	r := rand.NewChaCha8([32]byte{1})
	_, err := r.Read(noise)
	require.NoError(t, err)
	for name, body := range map[string][]byte{"short": []byte(strings.Repeat("a", 1<<10-1)), "noise": noise, "empty": nil} {
		t.Run(name, func(t *testing.T) {
			// A message that was received compressed and is sent again.
			m := &handler.Message{Attributes: map[string]string{"content-encoding": "gzip"}}
			require.NoError(t, newCodec(t, handler.Raw, nil).Encode(m, body))
			require.Equal(t, body, m.Body)
			require.NotContains(t, m.Attributes, "content-encoding")
		})
	}
	m := &handler.Message{}
	require.NoError(t, newCodec(t, handler.Raw, nil).Encode(m, strings.Repeat("a", 1<<10)))
	require.Equal(t, compress.Zstd, m.Attribute("content-encoding"))
}

func TestEncodeTwiceIsRefused(t *testing.T) {
	inner := newCodec(t, handler.Raw, &compress.Config{MinBytes: 1})
	err := newCodec(t, inner, nil).Encode(&handler.Message{}, strings.Repeat("a", 5000))
	require.ErrorContains(t, err, "compressed only once")
}

// flipped is an encoded body with one byte changed.
func flipped(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0xff
	return b
}

func TestWhatCannotBeDecompressedIsRejected(t *testing.T) {
	body := []byte(strings.Repeat("0123456789", 10_000))
	gz, zs := packed(t, compress.Gzip, body).Body, packed(t, compress.Zstd, body).Body
	cutGz := packed(t, compress.Gzip, body[:40_000]).Body
	for _, c := range []struct {
		name, encoding string
		body           []byte
		is             error
		says           string
	}{
		{"gzip bomb", "gzip", gz, compress.ErrTooLarge, "the limit is 50000 bytes"},
		{"zstd bomb", "zstd", zs, compress.ErrTooLarge, "the limit is 50000 bytes"},
		{"unknown", "br", gz, compress.ErrUnknownEncoding, `unknown content-encoding "br": known are gzip, identity, zstd`},
		{"list", "gzip, zstd", gz, compress.ErrUnknownEncoding, "known are"},
		{"empty name", "", gz, compress.ErrUnknownEncoding, "known are"},
		{"not gzip", "gzip", []byte("hello, this is plain"), nil, "gzip"},
		{"not zstd", "zstd", []byte("hello, this is plain"), nil, "zstd"},
		{"cut gzip", "gzip", cutGz[:len(cutGz)-9], nil, "unexpected EOF"},
		{"cut zstd", "zstd", zs[:len(zs)-9], nil, ""},
		{"no gzip at all", "gzip", nil, nil, "unexpected EOF"},
		{"no zstd at all", "zstd", nil, nil, "unexpected EOF"},
		{"changed gzip", "gzip", flipped(packed(t, "gzip", body[:40_000]).Body, 40), nil, ""},
		{"changed checksum", "zstd", flipped(packed(t, "zstd", body[:40_000]).Body, len(packed(t, "zstd", body[:40_000]).Body)-1), nil, "CRC check failed"},
		{"wrong name", "zstd", gz, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := &compress.Config{MaxBytes: 50_000}
			inflate, err := compress.Middleware(config)
			require.NoError(t, err)
			never := handler.HandlerFunc(func(context.Context, *handler.Message) error {
				t.Error("the handler was called")
				return nil
			})
			for _, h := range []handler.Handler{
				inflate(never),
				handler.Typed(newCodec(t, handler.Raw, config), func(ctx context.Context, m *handler.Message, _ []byte) error { return never(ctx, m) }),
			} {
				err := h.Handle(t.Context(), &handler.Message{ID: "7", Body: c.body, Attributes: map[string]string{"content-encoding": c.encoding}})
				require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action, "%v", err)
				require.ErrorContains(t, err, c.says)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
			}
		})
	}
}

// A frame that claims a terabyte must not get one.
func TestAClaimedSizeIsNotBelieved(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0}
	var header zstd.Header
	require.NoError(t, header.Decode(frame))
	require.EqualValues(t, 1<<40, header.FrameContentSize)
	var got []byte
	err := newCodec(t, handler.Raw, nil).Decode(&handler.Message{Body: frame, Attributes: map[string]string{"content-encoding": "zstd"}}, &got)
	require.ErrorIs(t, err, compress.ErrTooLarge)
}

func TestTheMiddlewareHandsOnACopy(t *testing.T) {
	body := []byte(strings.Repeat("body ", 1000))
	boom := errors.New("boom")
	for _, encoding := range []string{compress.Gzip, compress.Zstd} {
		t.Run(encoding, func(t *testing.T) {
			m := packed(t, encoding, body)
			m.SetAttribute("tenant", "t1")
			m.Attempt = 3
			m.Bind(&handler.Origin{Queue: "orders"}, nil)
			small, attributes := bytes.Clone(m.Body), maps.Clone(m.Attributes)
			inflate, err := compress.Middleware(nil)
			require.NoError(t, err)
			h := inflate(handler.HandlerFunc(func(_ context.Context, got *handler.Message) error {
				require.NotSame(t, m, got)
				require.Equal(t, string(body), string(got.Body))
				require.Equal(t, map[string]string{"tenant": "t1"}, got.Attributes)
				require.Equal(t, "orders", got.Origin().Queue)
				require.Equal(t, "7", got.ID)
				require.Equal(t, 3, got.Attempt)
				require.Equal(t, m.Lease(), got.Lease())
				got.SetAttribute("more", "x")
				got.Body = nil
				return boom
			}))
			require.Same(t, boom, h.Handle(t.Context(), m))
			require.Equal(t, small, m.Body)
			require.Equal(t, attributes, m.Attributes)
		})
	}
}

func TestPlainMessagesPassAsTheyAre(t *testing.T) {
	inflate, err := compress.Middleware(nil)
	require.NoError(t, err)
	m := &handler.Message{Body: []byte("x")}
	require.NoError(t, inflate(handler.HandlerFunc(func(_ context.Context, got *handler.Message) error {
		require.Same(t, m, got)
		return nil
	})).Handle(t.Context(), m))
	var got string
	m.SetAttribute("content-encoding", "Identity")
	require.NoError(t, newCodec(t, handler.Raw, nil).Decode(m, &got))
	require.Equal(t, "x", got)
}

func TestFaultsOfTheConfigurationAreReportedTogether(t *testing.T) {
	_, err := compress.Codec(nil, &compress.Config{Encoding: "br", MinBytes: -1, MaxBytes: -1})
	require.ErrorContains(t, err, `Encoding is "br": it must be "gzip" or "zstd"`)
	require.ErrorContains(t, err, "MinBytes is -1")
	require.ErrorContains(t, err, "MaxBytes is -1")
	_, err = compress.Middleware(&compress.Config{MaxBytes: -1})
	require.Error(t, err)
}

func FuzzDecode(f *testing.F) {
	body := []byte(strings.Repeat("0123456789", 100))
	f.Add("gzip", packed(f, "gzip", body).Body)
	f.Add("zstd", packed(f, "zstd", body).Body)
	f.Add("identity", body)
	f.Add("br", body)
	const limit = 1 << 16
	codec := newCodec(f, handler.Raw, &compress.Config{MaxBytes: limit, MinBytes: 1})
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		before := bytes.Clone(body)
		m := &handler.Message{Body: body, Attributes: map[string]string{"content-encoding": encoding}}
		var got []byte
		err := codec.Decode(m, &got)
		require.True(t, bytes.Equal(before, body), "decoding changed the body")
		if err != nil {
			return
		}
		require.True(t, len(got) <= limit || strings.EqualFold(strings.TrimSpace(encoding), "identity"))
		var m2 handler.Message
		require.NoError(t, codec.Encode(&m2, got))
		var again []byte
		require.NoError(t, codec.Decode(&m2, &again))
		require.True(t, bytes.Equal(got, again))
	})
}

func BenchmarkCodec(b *testing.B) {
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, `{"id":"order-%d","cents":%d,"currency":"EUR","customer":"c%d"},`, i, i*37%9973, i%17)
	}
	body := []byte(text.String())
	for _, encoding := range []string{compress.Gzip, compress.Zstd} {
		codec := newCodec(b, handler.Raw, &compress.Config{Encoding: encoding})
		b.Run("encode/"+encoding, func(b *testing.B) {
			var m handler.Message
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Encode(&m, body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(body))/float64(len(m.Body)), "ratio")
		})
		b.Run("decode/"+encoding, func(b *testing.B) {
			m := packed(b, encoding, body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var got []byte
				if err := codec.Decode(m, &got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Other clients write the attribute as HTTP's header.
func TestTheAttributeCountsInAnyCase(t *testing.T) {
	inflate, err := compress.Middleware(nil)
	require.NoError(t, err)
	packedBody := packed(t, compress.Gzip, []byte(strings.Repeat("hello, ", 300))).Body
	for _, tc := range []struct {
		name       string
		attributes map[string]string
		want       string // of the error
	}{
		{"HTTP's", map[string]string{"Content-Encoding": "gzip"}, ""},
		{"upper", map[string]string{"CONTENT-ENCODING": "GZIP"}, ""},
		{"mixed", map[string]string{"content-Encoding": " X-Gzip "}, ""},
		{"twice the same", map[string]string{"Content-Encoding": "gzip", "content-encoding": "Gzip"}, ""},
		{"unknown", map[string]string{"Content-Encoding": "br"}, "unknown content-encoding"},
		{"twice", map[string]string{"Content-Encoding": "gzip", "content-encoding": "zstd"}, "different values"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.attributes["tenant"] = "acme"
			m := &handler.Message{Body: packedBody, Attributes: maps.Clone(tc.attributes)}
			var got *handler.Message
			err := inflate(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error { got = m; return nil })).Handle(t.Context(), m)
			var decoded []byte
			codecErr := newCodec(t, handler.Raw, nil).Decode(m, &decoded)
			require.Equal(t, tc.attributes, m.Attributes, "the message itself is not changed")
			if tc.want != "" {
				require.ErrorContains(t, err, tc.want)
				require.ErrorContains(t, codecErr, tc.want)
				return
			}
			require.NoError(t, err)
			require.NoError(t, codecErr)
			require.Equal(t, strings.Repeat("hello, ", 300), string(got.Body))
			require.Equal(t, got.Body, decoded)
			require.Equal(t, map[string]string{"tenant": "acme"}, got.Attributes)

			// Sent again, it says one thing.
			require.NoError(t, newCodec(t, handler.Raw, &compress.Config{MinBytes: 1}).Encode(m, strings.Repeat("a", 5000)))
			require.Equal(t, map[string]string{"tenant": "acme", "content-encoding": compress.Zstd}, m.Attributes)
		})
	}
}
