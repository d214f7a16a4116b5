//go:build unix

package pages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// needed are the shell lines of the README and of docs that need what a test has not, by
// page and begin, with the reason. All others run in TestShell.
var needed = map[string][][2]string{
	"README.md": {
		{"go mod edit", "the module of a reader; the session of docs/tutorial/worker.md has the line"},
		{"go mod tidy", "likewise"},
		{"go run ./examples/thumbnails", "step fresh of .ci/run runs it, from the README"},
		{"go test ./...", "likewise"},
	},
	"docs/benchmarks.md": {{"cd internal/bench && go run .", "measures for half an hour; step benchsmoke of .ci/run runs it small"}},
	"docs/deadletters.md": {
		{"sluice discard orders --kind refund", "asks the reader for the queue's name"},
		{"sluice edit orders", "opens the reader's editor"},
		{"sluice archive orders --older-than 10d 's3://", "needs a bucket"},
		{"sluice redrive orders --from 's3://", "needs a bucket"},
	},
	"docs/deploy.md": {
		{"CGO_ENABLED=0 go build", "step artefacts of .ci/run builds a release"},
		{"docker build", "needs a container engine"},
		{"go run ./cmd/sluice/internal/artefact image", "step artefacts of .ci/run makes the image"},
		{"helm install", "needs a cluster; step artefacts of .ci/run renders the chart"},
		{"install -m 644", "needs root; step artefacts of .ci/run checks the unit"},
		{"systemctl enable", "needs systemd"},
		{"go run ./cmd/sluice/internal/artefact formula", "step artefacts of .ci/run makes the formula"},
	},
	"docs/deploy/cloud-run.md": {
		{"gcloud run deploy", "needs a cloud account"},
		{"gcloud pubsub subscriptions", "needs a cloud account"},
		{"gcloud run worker-pools", "needs a cloud account"},
	},
	"docs/deploy/lambda.md": {
		{"zip function.zip bootstrap", "needs zip"},
		{"aws lambda create-function", "needs a cloud account"},
		{"aws lambda create-event-source-mapping", "needs a cloud account"},
	},
	"docs/iam.md":     {{"sluice iam events --for send --member", "its output is for gcloud, which needs a cloud account"}},
	"docs/scaling.md": {{"aws application-autoscaling register", "needs a cloud account"}, {"aws application-autoscaling put", "needs a cloud account"}},
	"docs/seams.md": {
		{"go test ./internal/test/seams ", "it is a test itself, of minutes"},
		{"SLUICE_FULL=1 go test ./internal/test/seams", "likewise"},
		{"go test ./internal/test/seams -run", "likewise"},
		{"make seams", "likewise"},
		{"go test ./internal/test/seams -seams.queue", "likewise"},
		{"make mutants", "likewise"},
	},
	"docs/tutorial/worker.md": {
		{"git clone", "the test has the clone"},
		{"(cd sluice && go install", "the test builds the command"},
		{"export PATH", "likewise"},
		{"mkdir pay", "the session has a folder"},
	},
}

// serves are the commands that run until ^C, with what they print when they are ready.
var serves = map[string]string{
	"sluice console":                    "http://",
	"sluice depth --metrics":            "http://",
	"GITHUB_SECRET='...' sluice ingest": "taking webhooks",
	"sluice run":                        "handling messages",
	"sluice scaler":                     "answering KEDA",
}

// A scene is what the commands of a page take for granted: a folder with a configuration
// and queues.
type scene struct {
	setup  string // shell lines
	config string // sluice.yaml
	dev    bool   // "sluice dev" runs, with its variables set
	worker string // runs in a second terminal
	root   bool   // the folder is that of the repository
}

const queues = `queues:
  orders: {url: "sqlite://queue.db?queue=orders"}
  emails: {url: "sqlite://queue.db?queue=emails"}
  hooks: {url: "sqlite://queue.db?queue=hooks"}
  mail: {url: "sqlite://queue.db?queue=mail"}
service: {control: "file:control.json", admin: "off"}
`

// letters makes those that docs/deadletters.md shows. They are of the last hour: older ones
// are shown with their date after a day.
var letters = `letter() { printf '{"id":"%s","attributes":{"type":"%s","sluice-dead-letter-attempt":"%s","sluice-dead-letter-queue":"orders","sluice-dead-letter-first-failed":"%s","sluice-dead-letter-last-failed":"%s","sluice-dead-letter-reason":"%s"},"body":"{\\"amount\\":2000}"}\n' "$@"; }
for i in $(seq 223 250); do letter r$i refund 1 ` + ago(50*time.Minute) + ` ` + ago(22*time.Minute) + ` "rejected: no such account: $i"; done >letters.jsonl
for i in $(seq 12); do letter o$i order 5 ` + ago(31*time.Minute) + ` ` + ago(30*time.Minute) + ` "dial 10.0.3.7:5432: connection refused"; done >>letters.jsonl
sluice import orders <letters.jsonl`

// ago returns the time that was d ago.
func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339) }

var scenes = map[string]scene{
	"docs/deadletters.md":         {config: queues, setup: letters, worker: "sluice run orders --exec true"},
	"docs/deploy/lambda.md":       {root: true},
	"docs/iam.md":                 {config: "queues: {orders: {url: \"awssqs://sqs.us-east-1.amazonaws.com/123456789012/orders\"}}\n"},
	"docs/tutorial/production.md": {dev: true, config: "queues: {payments: {url: \"${QUEUE_URL:-sqlite://queue.db?queue=payments}\", dead_letter: {max_attempts: 5}}}\n"},
}

// local replaces what differs between a reader's machine and the test's.
var local = strings.NewReplacer("0.0.0.0:9465", "127.0.0.1:0", "--metrics 9090", "--metrics 0", "ingest 8080", "ingest 0", "sluice console", "sluice console --listen 127.0.0.1:0")

// The shell lines of the README and of docs run, but for those that need what a test has
// not. A page that shows the output of one shows what it prints.
func TestShell(t *testing.T) {
	if testing.Short() {
		return // it builds a program that is not raced
	}
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	bin := t.TempDir()
	// With the tag that docs/deadletters.md names.
	out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "sluice_cel", "-o", filepath.Join(bin, "sluice"), "github.com/sluice-go/sluice/cmd/sluice").CombinedOutput()
	require.NoError(t, err, string(out))
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	below, err := filepath.Glob(filepath.Join(root, "docs", "*", "*.md"))
	require.NoError(t, err)
	ran, shown := 0, 0
	for _, file := range append(append(files, below...), filepath.Join(root, "README.md")) {
		page, err := filepath.Rel(root, file)
		require.NoError(t, err)
		if strings.HasPrefix(page, "docs/cli/") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		found := map[string]bool{}
		var run []Command
		for _, c := range Commands(page, string(text)) {
			skip := false
			for _, n := range needed[page] {
				if strings.HasPrefix(c.Text, n[0]) {
					skip, found[n[0]] = true, true
				}
			}
			if !skip {
				run = append(run, c)
			}
		}
		for _, n := range needed[page] {
			require.True(t, found[n[0]], "%s has not the command %q any more (%s): remove it from the test", page, n[0], n[1])
		}
		if len(run) == 0 {
			continue
		}
		for _, c := range run {
			ran++
			if c.Shown != "" {
				shown++
			}
		}
		t.Run(strings.TrimSuffix(page, ".md"), func(t *testing.T) {
			t.Parallel()
			needs(t, page)
			s := scenes[page]
			if s.config == "" {
				s.config = queues
			}
			act(t, s, root, bin, run)
		})
	}
	require.Greater(t, ran, 20, "the pages have commands that run")
	require.Positive(t, shown)
	for page := range needed {
		require.FileExists(t, filepath.Join(root, page))
	}
}

// act runs the commands of a page in its scene.
func act(t *testing.T, s scene, root, bin string, commands []Command) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sluice.yaml"), []byte(s.config), 0o600))
	env := append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "SLUICE_SERVICE_ADMIN=off", "OTEL_SDK_DISABLED=true",
		"AWS_EC2_METADATA_DISABLED=true", "TMPDIR="+dir)
	where := dir
	if s.root {
		where = root
	}
	start := func() *terminal {
		term, err := open(t.Context(), where, env)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, term.close()) })
		return term
	}
	first := start()
	do := func(term *terminal, command, ready string) (text string) {
		require.NoError(t, term.enter(t.Context(), command))
		if ready == "" {
			text, done, status := term.await(t.Context(), nil)
			require.True(t, done, "%s\ndoes not end; it printed\n%s", command, text)
			require.Contains(t, []int{0, 3}, status, "%s\nprinted\n%s", command, text) // 3: there is something to do
			return text
		}
		text, done, _ := term.await(t.Context(), func(text string) bool { return strings.Contains(text, ready) })
		require.False(t, done, "%s\nended; it printed\n%s", command, text)
		require.Contains(t, text, ready, command)
		return text
	}
	if s.dev {
		do(start(), "sluice dev --sqs 127.0.0.1:0 --pubsub 127.0.0.1:0 >env.sh", "msg=ready")
		do(first, ". ./env.sh", "")
	}
	if s.config == queues && !s.root {
		do(first, "sluice apply", "")
	}
	if s.setup != "" {
		do(first, s.setup, "")
	}
	if s.worker != "" {
		do(start(), s.worker, "handling")
	}
	for _, c := range commands {
		command := strings.ReplaceAll(local.Replace(c.Text), "-o bootstrap", "-o "+filepath.Join(dir, "bootstrap"))
		ready := ""
		for begin, text := range serves {
			if strings.HasPrefix(c.Text, begin) {
				ready = text
			}
		}
		got := do(first, command, ready)
		t.Logf("%s:%d: $ %s\n%s", c.Page, c.Line, command, got)
		if ready != "" {
			require.NoError(t, first.interrupt())
			_, done, _ := first.await(t.Context(), nil)
			require.True(t, done, "%s does not end by ^C", command)
		}
		if c.Shown != "" {
			clock := regexp.MustCompile(`\d\d:\d\d:\d\d`)
			want := clock.ReplaceAllString(c.Shown, "TIME")
			require.Regexp(t, pattern(want), normal(clock.ReplaceAllString(got, "TIME")), "%s:%d: %s shows\n%s", c.Page, c.Line, c.Text, want)
		}
	}
}
