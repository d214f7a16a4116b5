package sqs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
)

// forgetful is a server in front of another that does not know some members of
// requests.
func forgetful(t *testing.T, target string, members ...string) string {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	s := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		body, _ := io.ReadAll(r.In.Body)
		var m map[string]any
		if json.Unmarshal(body, &m) == nil && strings.HasSuffix(r.In.Header.Get("X-Amz-Target"), ".ReceiveMessage") {
			for _, name := range members {
				delete(m, name)
			}
			body, _ = json.Marshal(m)
		}
		r.Out.Body, r.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }})
	t.Cleanup(s.Close)
	return s.URL
}

// A field that a server leaves out is not its zero value: without its group a
// message of a FIFO queue would be handled beside others of that group.
func TestServersThatLeaveOutSystemAttributes(t *testing.T) {
	t.Parallel()
	const newer, older = "MessageSystemAttributeNames", "AttributeNames"
	for _, c := range []struct {
		name, suffix string
		unknown      []string
		refused      bool // by the driver
		counted      bool
	}{
		{"FIFO, the newer form unknown", ".fifo", []string{newer}, false, true},
		{"FIFO, the older form unknown", ".fifo", []string{older}, false, true},
		{"FIFO, neither known", ".fifo", []string{newer, older}, true, false},
		{"standard, the newer form unknown", "", []string{newer}, false, true},
		{"standard, neither known", "", []string{newer, older}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := server(t, nil, c.suffix)
			api := client(t, s.URL())
			const n = 4
			for i := range n {
				in := &awssqs.SendMessageInput{QueueUrl: aws.String(s.QueueURL("orders" + c.suffix)), MessageBody: aws.String(fmt.Sprint(i))}
				if c.suffix != "" {
					in.MessageGroupId, in.MessageDeduplicationId = aws.String("g"), aws.String(fmt.Sprint(i))
				}
				_, err := api.SendMessage(t.Context(), in)
				require.NoError(t, err)
			}
			front := forgetful(t, s.URL(), c.unknown...)
			src, err := sqs.NewSource(t.Context(), client(t, front), strings.Replace(s.QueueURL("orders"+c.suffix), s.URL(), front, 1), nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, src.Close()) })
			var (
				mu        sync.Mutex
				now, most int
				bodies    []string
				logged    bytes.Buffer
			)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				mu.Lock()
				defer mu.Unlock()
				now++
				most = max(most, now)
				if c.suffix != "" && m.Group != "g" || c.counted != (m.Attempt == 1) {
					bodies = append(bodies, fmt.Sprintf("group %q, attempt %d: ", m.Group, m.Attempt))
				}
				now--
				if bodies = append(bodies, string(m.Body)); len(bodies) >= n {
					cancel()
				}
				return nil
			})
			worker, err := consumer.New(src, h, &consumer.Config{Concurrency: n, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			require.NoError(t, err)
			err = worker.Run(ctx)
			if c.refused {
				require.ErrorIs(t, err, drivers.ErrUnsupported)
				require.ErrorContains(t, err, "without its MessageGroupId")
				require.Empty(t, bodies)
				return
			}
			require.NoError(t, err)
			require.Len(t, bodies, n)
			if c.suffix != "" {
				require.Equal(t, "0123", strings.Join(bodies, ""))
				require.Equal(t, 1, most)
			}
			require.Equal(t, !c.counted, strings.Contains(logged.String(), "messages have no attempt count"), logged.String())
		})
	}
}
