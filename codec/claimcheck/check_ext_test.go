package claimcheck_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
)

// inMemory is an S3 bucket, as far as pointers show.
func inMemory(t testing.TB, name string) claimcheck.Bucket {
	t.Helper()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return claimcheck.Bucket{Name: name, Blob: b}
}

func newCheck(t testing.TB, b claimcheck.Bucket, c *claimcheck.Config) *claimcheck.Check {
	t.Helper()
	check, err := claimcheck.New(b, c)
	require.NoError(t, err)
	return check
}

func keys(t testing.TB, b claimcheck.Bucket) []string {
	t.Helper()
	var found []string
	for it := b.Blob.List(nil); ; {
		o, err := it.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		found = append(found, o.Key)
	}
}

func body(n int) []byte { return []byte(strings.Repeat("0123456789", n/10+1)[:n]) }

// handled is what the handler was given.
type handled struct {
	messages []handler.Message
}

func (h *handled) Handle(_ context.Context, m *handler.Message) error {
	h.messages = append(h.messages, *m)
	return nil
}

func TestALargeBodyGoesThroughTheBucket(t *testing.T) {
	folder, err := fileblob.OpenBucket(filepath.Join(t.TempDir(), "bodies"), &fileblob.Options{CreateDir: true})
	require.NoError(t, err)
	defer folder.Close()
	for _, b := range []claimcheck.Bucket{
		inMemory(t, "large"),
		{Name: "large", Format: claimcheck.GCS, Prefix: "orders/in_", Blob: memblob.OpenBucket(nil)},
		{Name: "/var/bodies", Format: claimcheck.Other, Prefix: "orders/", Blob: folder},
	} {
		t.Run(b.Format.String(), func(t *testing.T) {
			check := newCheck(t, b, nil)
			large := body(240 << 10)
			large[7] = 0 // any bytes
			sent := handler.Message{Body: large, Attributes: map[string]string{"tenant": "t"}}
			require.NoError(t, check.Prepare(t.Context(), &sent))
			require.Less(t, len(sent.Body), 200)
			require.Equal(t, map[string]string{"tenant": "t", "ExtendedPayloadSize": "245760"}, sent.Attributes)
			require.True(t, claimcheck.Claimed(&sent))
			found := keys(t, b)
			require.Len(t, found, 1)
			require.True(t, strings.HasPrefix(found[0], b.Prefix), found[0])
			require.Contains(t, string(sent.Body), `"`+found[0]+`"`)

			var got handled
			pointer, marked := bytes.Clone(sent.Body), sent.Attributes["ExtendedPayloadSize"]
			sent.ID = "7"
			require.NoError(t, handler.Chain(&got, check.Middleware).Handle(t.Context(), &sent))
			require.Equal(t, large, got.messages[0].Body)
			require.Equal(t, map[string]string{"tenant": "t"}, got.messages[0].Attributes)
			require.Equal(t, "7", got.messages[0].ID)
			require.Equal(t, pointer, sent.Body, "the runtime's message keeps its pointer")
			require.Equal(t, marked, sent.Attributes["ExtendedPayloadSize"])

			again := sent
			require.NoError(t, check.Prepare(t.Context(), &again), "a pointer that is sent on stays one")
			require.Equal(t, sent, again)
		})
	}
}

func TestWhatIsLarge(t *testing.T) {
	binary := bytes.Repeat([]byte{0xff}, 800)
	for _, tc := range []struct {
		name  string
		c     claimcheck.Config
		m     handler.Message
		large bool
	}{
		{"at the threshold", claimcheck.Config{Threshold: 1000}, handler.Message{Body: body(1000)}, false},
		{"above it", claimcheck.Config{Threshold: 1000}, handler.Message{Body: body(1001)}, true},
		{"with attributes at it", claimcheck.Config{Threshold: 1000}, handler.Message{Body: body(990), Attributes: map[string]string{"ab": "cd"}}, false},
		{"with attributes above it", claimcheck.Config{Threshold: 1000}, handler.Message{Body: body(990), Attributes: map[string]string{"ab": "cde"}}, true},
		{"text that would be large as base64", claimcheck.Config{Threshold: 1000}, handler.Message{Body: []byte(strings.Repeat("é\n", 266))}, false},
		{"bytes that are large as base64", claimcheck.Config{Threshold: 1000}, handler.Message{Body: binary}, true},
		{"a control character", claimcheck.Config{Threshold: 1000}, handler.Message{Body: append(body(800), 0)}, true},
		{"always", claimcheck.Config{Always: true}, handler.Message{Body: []byte("x")}, true},
		{"always, but nothing", claimcheck.Config{Always: true}, handler.Message{}, false},
		{"the default", claimcheck.Config{}, handler.Message{Body: body(240 << 10)}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := inMemory(t, "large")
			m := tc.m
			require.NoError(t, newCheck(t, b, &tc.c).Prepare(t.Context(), &m))
			require.Equal(t, tc.large, claimcheck.Claimed(&m))
			if !tc.large {
				require.Equal(t, tc.m, m)
				require.Empty(t, keys(t, b))
			}
		})
	}
}

func TestLegacyPointersAreWrittenAndRead(t *testing.T) {
	b := inMemory(t, "large")
	check := newCheck(t, b, &claimcheck.Config{Always: true, Legacy: true})
	m := handler.Message{Body: []byte("old")}
	require.NoError(t, check.Prepare(t.Context(), &m))
	require.Equal(t, map[string]string{"SQSLargePayloadSize": "3"}, m.Attributes)
	require.Regexp(t, `^\["com\.amazon\.sqs\.javamessaging\.MessageS3Pointer",\{"s3BucketName":"large","s3Key":"[A-Z2-7]{26}"\}\]$`, string(m.Body))
	var got handled
	require.NoError(t, newCheck(t, b, nil).Middleware(&got).Handle(t.Context(), &m))
	require.Equal(t, handler.Message{Body: []byte("old"), Attributes: map[string]string{}}, got.messages[0])
}

func TestAReservedAttributeIsRefusedBeforeSending(t *testing.T) {
	for _, name := range []string{"ExtendedPayloadSize", "SQSLargePayloadSize"} {
		m := handler.Message{Body: []byte("no pointer"), Attributes: map[string]string{name: "9"}}
		require.ErrorContains(t, newCheck(t, inMemory(t, "b"), nil).Prepare(t.Context(), &m), name)
	}
}

func s3Pointer(bucket, key string) *handler.Message {
	return &handler.Message{
		Body:       []byte(`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"` + bucket + `","s3Key":"` + key + `"}]`),
		Attributes: map[string]string{"ExtendedPayloadSize": "4"},
	}
}

func TestWhatASenderMustNotHaveRead(t *testing.T) {
	b := inMemory(t, "large")
	b.Prefix = "orders/"
	elsewhere := inMemory(t, "archive")
	require.NoError(t, b.Blob.WriteAll(t.Context(), "secret", []byte("!"), nil))
	check := newCheck(t, b, &claimcheck.Config{Also: []claimcheck.Bucket{elsewhere}})
	for _, tc := range []struct {
		name string
		m    *handler.Message
		is   error
		says []string
	}{
		{"a bucket that is not declared", s3Pointer("payroll", "orders/1"), claimcheck.ErrForeign, []string{`bucket "payroll"`, `key "orders/1"`, "Config.Also"}},
		{"a key outside the prefix", s3Pointer("large", "secret"), claimcheck.ErrForeign, []string{`bucket "large"`, `key "secret"`, "prefix"}},
		{"another store's bucket of that name", &handler.Message{
			Body: []byte(`["sluice.claimcheck.GCSPointer",{"gcsBucketName":"large","gcsKey":"orders/1"}]`), Attributes: map[string]string{"ExtendedPayloadSize": "1"},
		}, claimcheck.ErrForeign, []string{`bucket "large" (gcs)`}},
		{"no pointer", &handler.Message{Body: []byte("body"), Attributes: map[string]string{"ExtendedPayloadSize": "4"}}, claimcheck.ErrMalformed, []string{"JSON"}},
		{"a body that is gone", s3Pointer("large", "orders/1"), claimcheck.ErrLost, []string{`bucket "large"`, `key "orders/1"`}},
		{"out of the prefix", s3Pointer("large", "orders/../secret"), claimcheck.ErrLost, []string{`key "orders/../secret"`}},
		{"gone from another", s3Pointer("archive", "1"), claimcheck.ErrLost, []string{`bucket "archive"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got handled
			stream := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
				r, err := claimcheck.Open(ctx, m)
				require.Nil(t, r)
				return err
			})
			for _, h := range []handler.Handler{check.Middleware(&got), check.Stream(stream)} {
				err := h.Handle(t.Context(), tc.m)
				require.ErrorIs(t, err, tc.is)
				require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
				for _, text := range tc.says {
					require.ErrorContains(t, err, text)
				}
			}
			require.Empty(t, got.messages)
		})
	}
	require.NoError(t, elsewhere.Blob.WriteAll(t.Context(), "1", []byte("old"), nil))
	var got handled
	require.NoError(t, check.Middleware(&got).Handle(t.Context(), s3Pointer("archive", "1")))
	require.Equal(t, "old", string(got.messages[0].Body))
}

func TestABodyAboveTheLimit(t *testing.T) {
	b := inMemory(t, "large")
	require.NoError(t, b.Blob.WriteAll(t.Context(), "1", body(101), nil))
	check := newCheck(t, b, &claimcheck.Config{MaxBytes: 100})
	err := check.Middleware(&handled{}).Handle(t.Context(), s3Pointer("large", "1")) // which says 4
	require.ErrorIs(t, err, claimcheck.ErrTooLarge)
	require.ErrorContains(t, err, "101 bytes; the limit is 100")
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)

	n := 0
	require.NoError(t, check.Stream(handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		r, err := claimcheck.Open(ctx, m)
		require.NoError(t, err)
		all, err := io.ReadAll(r)
		n = len(all)
		return errors.Join(err, r.Close())
	})).Handle(t.Context(), s3Pointer("large", "1")))
	require.Equal(t, 101, n)
}

func TestOpenNeedsNoPointerAndNoMiddleware(t *testing.T) {
	r, err := claimcheck.Open(t.Context(), &handler.Message{Body: []byte("small")})
	require.NoError(t, err)
	all, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "small", string(all))
	require.NoError(t, r.Close())

	_, err = claimcheck.Open(t.Context(), s3Pointer("large", "1"))
	require.ErrorContains(t, err, "Stream")
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action, "the consumer is wrong, not the message")
}

func TestTroubleWithTheStoreIsARetry(t *testing.T) {
	missing, err := fileblob.OpenBucket(filepath.Join(t.TempDir(), "b"), &fileblob.Options{CreateDir: true})
	require.NoError(t, err)
	require.NoError(t, missing.Close())
	check := newCheck(t, claimcheck.Bucket{Name: "large", Blob: missing}, nil)
	err = check.Middleware(&handled{}).Handle(t.Context(), s3Pointer("large", "1"))
	require.ErrorContains(t, err, `bucket "large", key "1"`)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
	require.True(t, handler.VerdictOf(err).Postponed, "no message is at fault")
	require.NotErrorIs(t, err, claimcheck.ErrLost)
	require.Equal(t, backoff.Transient, backoff.Classify(err), "the backoff middleware must not dead-letter it")
	m := handler.Message{Body: body(1_000_000)}
	require.ErrorContains(t, check.Prepare(t.Context(), &m), `put the body of 1000000 bytes into bucket "large"`)
	require.Len(t, m.Body, 1_000_000)

}

func TestConfigurationFaultsAreReportedTogether(t *testing.T) {
	_, err := claimcheck.New(claimcheck.Bucket{Prefix: "a b", Format: 9}, &claimcheck.Config{
		Threshold: -1, MaxBytes: -1, Also: []claimcheck.Bucket{{Name: "x", Prefix: "../"}, {Name: "y", Prefix: strings.Repeat("p", 1000)}},
	})
	for _, text := range []string{"Threshold is -1", "MaxBytes is -1", "Name is empty", "Blob is nil", `"a b"`, "Format is 9", `"../"`, "1000 bytes"} {
		require.ErrorContains(t, err, text)
	}
	_, err = claimcheck.NewDeleter(nil, &claimcheck.DeleterConfig{Workers: -1, Buffer: -1, Timeout: -1})
	for _, text := range []string{"Workers", "Buffer", "Timeout", "check is nil"} {
		require.ErrorContains(t, err, text)
	}
}

func TestBucketsAreOpenedByURL(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	for url, want := range map[string]string{"mem://": "mem", "file://" + dir: dir} {
		b, err := claimcheck.OpenBucket(t.Context(), url)
		require.NoError(t, err)
		require.Equal(t, want, b.Name)
		require.Equal(t, claimcheck.Other, b.Format)
		require.NoError(t, b.Blob.Close())
	}
	b, err := claimcheck.OpenBucket(t.Context(), "mem://?prefix=orders/")
	require.NoError(t, err)
	require.Equal(t, "orders/", b.Prefix)
	m := handler.Message{Body: []byte("x")}
	require.NoError(t, newCheck(t, b, &claimcheck.Config{Always: true}).Prepare(t.Context(), &m))
	require.Contains(t, string(m.Body), `"key":"orders/`)
	require.Contains(t, string(m.Body), keys(t, b)[0], "the whole key is in the pointer")
	require.NoError(t, b.Blob.Close())
	for url, text := range map[string]string{
		"nosuch://b": "nosuch",
		"::":         "malformed",
	} {
		_, err := claimcheck.OpenBucket(t.Context(), url)
		require.ErrorContains(t, err, text)
	}
}

func exists(t testing.TB, b *blob.Bucket, key string) bool {
	t.Helper()
	_, err := b.Attributes(context.Background(), key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false
	}
	require.NoError(t, err)
	return true
}

func BenchmarkSmallMessages(b *testing.B) {
	check := newCheck(b, inMemory(b, "large"), nil)
	h := check.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	m := &handler.Message{Body: body(1000), Attributes: map[string]string{"tenant": "t", "traceparent": "00-x"}}
	b.Run("send", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := check.Prepare(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("receive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := h.Handle(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLargeMessages(b *testing.B) {
	check := newCheck(b, inMemory(b, "large"), nil)
	large := body(1 << 20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	h := check.Middleware(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	m := &handler.Message{Body: large}
	if err := check.Prepare(b.Context(), m); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := h.Handle(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// In a batch a pointer is read even if the batch's first message is not one.
func TestABatchReadsBodies(t *testing.T) {
	b := inMemory(t, "large")
	require.NoError(t, b.Blob.WriteAll(t.Context(), "1", []byte("large body"), nil))
	check := newCheck(t, b, nil)
	var mu sync.Mutex
	bodies := map[string]bool{}
	batch, err := handler.Batch(handler.BatchHandlerFunc(func(ctx context.Context, ms []*handler.Message) []error {
		errs := make([]error, len(ms))
		for i, m := range ms {
			r, err := claimcheck.Open(ctx, m)
			if errs[i] = err; err != nil {
				continue
			}
			all, err := io.ReadAll(r)
			mu.Lock()
			bodies[string(all)] = true
			mu.Unlock()
			errs[i] = errors.Join(err, r.Close())
		}
		return errs
	}), &handler.BatchConfig{MaxCount: 2})
	require.NoError(t, err)
	h := handler.Chain(batch, check.Stream)
	var calls sync.WaitGroup
	for _, m := range []*handler.Message{{Body: []byte("small")}, s3Pointer("large", "1")} {
		calls.Go(func() {
			if err := h.Handle(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	require.Equal(t, map[string]bool{"small": true, "large body": true}, bodies)
}
