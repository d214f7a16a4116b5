package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

// asService has the test binary be the service.
const asService = "SLUICE_PUSH_SERVICE"

func TestMain(m *testing.M) {
	if os.Getenv(asService) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A service is a running service, as on Cloud Run: it receives its port and a signal to end.
type service struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	url   string
}

func start(t *testing.T, env ...string) *service {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := &service{t: t, cmd: exec.CommandContext(ctx, os.Args[0])}
	s.cmd.Env = append(os.Environ(), append(env, asService+"=1", "PORT=0")...)
	out, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	s.lines = bufio.NewScanner(out)
	line := s.next()
	require.Equal(t, "listening", line["msg"], "%v", line)
	_, port, err := net.SplitHostPort(line["addr"].(string))
	require.NoError(t, err)
	s.url = "http://127.0.0.1:" + port + "/push"
	return s
}

// next is the next line that it prints, nil at the end.
func (s *service) next() map[string]any {
	s.t.Helper()
	if !s.lines.Scan() {
		require.NoError(s.t, s.lines.Err())
		return nil
	}
	line := map[string]any{}
	require.NoError(s.t, json.Unmarshal(s.lines.Bytes(), &line), "%s", s.lines.Bytes())
	delete(line, "time")
	return line
}

// stop ends it as Cloud Run does, and returns what it has printed since.
func (s *service) stop() []map[string]any {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	var rest []map[string]any
	for line := s.next(); line != nil; line = s.next() {
		rest = append(rest, line)
	}
	require.NoError(s.t, s.cmd.Wait())
	return rest
}

func (s *service) post(body string) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, strings.NewReader(body))
	require.NoError(s.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Empty(s.t, string(text))
	return resp.StatusCode
}

// TestTheREADMEsPush posts what the README has posted.
func TestTheREADMEsPush(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	found := regexp.MustCompile(`-d '([^']+)'`).FindSubmatch(readme)
	require.NotNil(t, found)

	s := start(t, "PUSH_INSECURE=true")
	require.Equal(t, 204, s.post(string(found[1])))
	require.Equal(t, map[string]any{"level": "INFO", "msg": "order", "id": "o1", "cents": 5.0, "attempt": 0.0}, s.next())
	require.Equal(t, 400, s.post("no push"))
	require.Equal(t, "push cannot be decoded: the service pushes it again; check that Format matches the subscription", s.next()["msg"])
	noOrder := base64.StdEncoding.EncodeToString([]byte("no order"))
	require.Equal(t, 500, s.post(`{"message":{"messageId":"2","data":"`+noOrder+`"}}`), "there is nowhere to put it")
	require.Contains(t, s.next()["msg"], "message rejected, but there is no dead-letter topic")
	require.Empty(t, s.stop())
}

func TestAPushWithoutATokenIsRefused(t *testing.T) {
	s := start(t, "PUSH_AUDIENCE=https://orders.example.com/push", "PUSH_EMAIL=pusher@p.iam.gserviceaccount.com")
	require.Equal(t, 401, s.post(`{"message":{"messageId":"1","data":"e30="}}`))
	line := s.next()
	require.Equal(t, []any{"push refused", "there is no Authorization header"}, []any{line["msg"], line["reason"]})
	require.Empty(t, s.stop())
}

// TestOrdersArePushedFromASubscription has a topic, its subscription and its
// dead-letter topic around the service.
func TestOrdersArePushedFromASubscription(t *testing.T) {
	fake, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	q := pubsubtest.Queue{Project: "shop", ID: "orders", MaxAttempts: 5, AckDeadlineSeconds: 60}
	require.NoError(t, fake.Create(t.Context(), q))
	_, err = fake.Fake().GServer.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: []*pubsubpb.PubsubMessage{
		{Data: []byte(`{"id":"o1","cents":100}`)}, {Data: []byte("no order")}, {Data: []byte(`{"id":"o2","cents":200}`)},
	}})
	require.NoError(t, err)

	s := start(t, "PUSH_INSECURE=true", "PUBSUB_EMULATOR_HOST="+fake.Addr(), "QUEUE_URL=gcppubsub://"+q.Subscription())
	pump := &pushtest.Pump{Addr: fake.Addr(), Subscription: q.Subscription(), Endpoint: s.url}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	require.NoError(t, pump.Drain(ctx, fake))
	require.Equal(t, map[int]int{204: 3}, pump.Statuses())
	order := func(id string, cents float64) map[string]any {
		return map[string]any{"level": "INFO", "msg": "order", "id": id, "cents": cents, "attempt": 1.0}
	}
	require.ElementsMatch(t, []map[string]any{order("o1", 100), order("o2", 200)}, s.stop())

	letters, err := fake.Fake().GServer.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: q.DeadLetter().Subscription(), MaxMessages: 10, ReturnImmediately: true}) //nolint:staticcheck // to ask once
	require.NoError(t, err)
	require.Len(t, letters.ReceivedMessages, 1)
	letter := letters.ReceivedMessages[0].Message
	require.Equal(t, "no order", string(letter.Data))
	failure, ok := drivers.ParseFailure(letter.Attributes)
	require.True(t, ok)
	require.Contains(t, failure.Reason, "rejected: decode message")
	require.Equal(t, []any{"orders", 1}, []any{failure.Queue, failure.Attempt})
}

func TestAServiceThatIsSetUpWrongDoesNotStart(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"nothing is set":    {nil, "Audiences[0] is empty"},
		"no e-mail":         {map[string]string{"PUSH_AUDIENCE": "https://orders.example.com/push"}, "Emails[0] is empty"},
		"no URL of a queue": {map[string]string{"PUSH_INSECURE": "true", "QUEUE_URL": "orders"}, "malformed Pub/Sub URL"},
		"no port":           {map[string]string{"PUSH_INSECURE": "true", "PORT": "none"}, "none"},
	} {
		err := serve(t.Context(), slog.New(slog.DiscardHandler), func(k string) string { return c.env[k] })
		require.ErrorContains(t, err, c.want, name)
	}
}
