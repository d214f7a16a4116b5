package testserver_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// command sends an inline command to a Redis and returns the first line of the
// answer.
func command(addr, line string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	answer, err := r.ReadString('\n')
	if strings.HasPrefix(answer, "$") && err == nil {
		answer, err = r.ReadString('\n')
	}
	return strings.TrimSpace(answer), err
}

func TestOwnServerStopsAndStartsOnItsPortWithItsData(t *testing.T) {
	t.Parallel()
	s := testserver.OwnRedis(t)
	require.Regexp(t, `^redis://127\.0\.0\.1:\d+$`, s.URL)
	answer, err := command(s.Addr(), "SET k v")
	require.NoError(t, err)
	require.Equal(t, "+OK", answer)

	s.Stop(t)
	_, err = command(s.Addr(), "PING")
	require.Error(t, err, "it still answers")
	s.Stop(t) // twice is harmless

	s.Start(t)
	answer, err = command(s.Addr(), "GET k")
	require.NoError(t, err)
	require.Equal(t, "v", answer)
}

func TestSharedServerIsOne(t *testing.T) {
	first, second := testserver.Redis(t), testserver.Redis(t)
	require.Same(t, first, second)
}

func TestEnvironmentNamesTheServer(t *testing.T) {
	t.Parallel()
	s := testserver.OwnRedis(t)
	out := child(t, "TestChildSharedRedis", testserver.EnvRedis+"="+s.URL+"/")
	require.Contains(t, out, "URL="+s.URL+"\n")
}

func TestChildSharedRedis(t *testing.T) {
	if !isChild() {
		return
	}
	fmt.Printf("URL=%s\n", testserver.Redis(t).URL)
}

func TestPostgresGivesEachTestADatabase(t *testing.T) {
	t.Parallel()
	a, b := testserver.Postgres(t), testserver.Postgres(t)
	require.NotEqual(t, a.URL, b.URL)
	require.Equal(t, a.Addr(), b.Addr())
	conn, err := net.Dial("tcp", a.Addr())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// RabbitMQ's node and Erlang's port mapper end with the command that started
// them.
func TestRabbitMQEndsWithItsCommand(t *testing.T) {
	t.Parallel()
	testserver.Need(t, "rabbitmq")
	cmd := exec.CommandContext(t.Context(), "go", "run", "./withservers", "-servers", "rabbitmq", "sh", "-c", "echo URL=$"+testserver.EnvRabbitMQ)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	found := regexp.MustCompile(`(?m)^URL=amqp://guest:guest@(127\.0\.0\.1:\d+)$`).FindSubmatch(out)
	require.Len(t, found, 2, string(out))
	_, err = net.Dial("tcp", string(found[1]))
	require.Error(t, err, "it still answers")
}

func TestOwnPostgresStopsAndStarts(t *testing.T) {
	t.Parallel()
	s := testserver.OwnPostgres(t)
	s.Stop(t)
	_, err := net.Dial("tcp", s.Addr())
	require.Error(t, err)
	s.Start(t)
}

func TestAWSServersAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, probe string
		get         func(testing.TB) *testserver.Server
	}{
		{"LocalStack", "/_localstack/health", func(t testing.TB) *testserver.Server { return testserver.LocalStack(t, "sqs", "s3") }},
		{"ElasticMQ", "/?Action=ListQueues", testserver.ElasticMQ},
		{"DynamoDB", "/moto-api/data.json", testserver.DynamoDB},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.get(t)
			require.NoError(t, process.HTTP(s.URL+c.probe)(t.Context()))
			require.Equal(t, "test", os.Getenv("AWS_ACCESS_KEY_ID"))
		})
	}
}

func TestPythonHasBoto3(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), testserver.Python(t), "-c", "import boto3; print(boto3.__version__)").CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotEmpty(t, out)
}

func TestName(t *testing.T) {
	a, b := testserver.Name(t), testserver.Name(t)
	require.NotEqual(t, a, b)
	require.Regexp(t, `^testname_[a-z0-9]{10}$`, a)
}

// A server must not outlive its test binary, even where that is killed.
func TestServerEndsWithAKilledTest(t *testing.T) {
	t.Parallel()
	testserver.Need(t, "redis")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildHoldsARedis$", "-test.v")
	cmd.Env = append(os.Environ(), "SLUICE_TEST_CHILD=1", testserver.EnvRedis+"=")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	scan := bufio.NewScanner(out)
	addr := ""
	for addr == "" && scan.Scan() {
		if _, a, ok := strings.Cut(scan.Text(), "ADDR="); ok {
			addr = a
		}
	}
	require.NotEmpty(t, addr, "the child did not start a server")
	answer, err := command(addr, "PING")
	require.NoError(t, err)
	require.Equal(t, "+PONG", answer)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool {
		_, err := command(addr, "PING")
		return err != nil
	}, 20*time.Second, 50*time.Millisecond, "the server still answers")
}

func TestChildHoldsARedis(t *testing.T) {
	if !isChild() {
		return
	}
	fmt.Printf("\nADDR=%s\n", testserver.Redis(t).Addr())
	<-time.After(time.Hour) // it is killed
}

// A test without its server skips, with a reason, and fails if it is required.
func TestMissingServer(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for _, c := range []struct{ env, verdict string }{
		{"CI=", "--- SKIP"},
		{"CI=true", "--- FAIL"},
		{"SLUICE_REQUIRE_LOCAL=1", "--- FAIL"},
	} {
		t.Run(c.env, func(t *testing.T) {
			out := child(t, "TestChildSharedRedis", "CI=", "SLUICE_REQUIRE_LOCAL=", testserver.EnvRedis+"=", "PATH="+empty, c.env)
			require.Contains(t, out, c.verdict)
			require.Contains(t, out, "apt-get install redis-server")
		})
	}
}

// The go command shows which server a run lacks, once, though it shows nothing else of
// tests that pass.
func TestARunNamesTheServersThatItLacks(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // elsewhere the line goes to the terminal only
	}
	tool, err := exec.LookPath("go")
	require.NoError(t, err)
	bare, cache := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(tool, filepath.Join(bare, "go")))
	for range 2 { // the go command keeps no result of the first
		cmd := exec.CommandContext(t.Context(), tool, "test", "-run=^TestChildSharedRedis$|^TestChildHoldsARedis$", ".")
		cmd.Env = append(os.Environ(), "SLUICE_TEST_CHILD=1", "SLUICE_PATH_ONLY=1", "PATH="+bare, "CI=", "SLUICE_REQUIRE_LOCAL=",
			testserver.EnvRedis+"=", "SLUICE_CACHE_DIR="+cache)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Regexp(t, `(?s)\Asluice's tests: those that need Redis skip: no redis-server on the PATH \(.*apt-get install redis-server\)
sluice's tests: on Debian and Ubuntu, .ci/run packages installs what all servers need; [^\n]*
ok  [^\n]*s\n\z`, string(out))
	}
}

// TestVersionsAgree keeps the pinned versions that are written in two places
// the same.
func TestVersionsAgree(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("..", "..", "..", "localstack", name))
		require.NoError(t, err)
		return string(b)
	}
	pinned := regexp.MustCompile(`(?m)^localstack-core==(.*)$`).FindStringSubmatch(read("requirements.txt"))
	require.Len(t, pinned, 2)
	require.Contains(t, read("docker-compose.yml"), "localstack/localstack:"+pinned[1]+"\n")
	require.Contains(t, read("localstack.go"), `const Version = "`+pinned[1]+`"`)
	require.Contains(t, read("README.md"), "LocalStack "+pinned[1])
}

func TestHTTPHealthNeedsOK(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	require.ErrorContains(t, process.HTTP("http://"+l.Addr().String())(t.Context()), "404")
}

// child runs one test of this binary as a process of its own and returns what
// it printed.
func child(t *testing.T, name string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), "SLUICE_TEST_CHILD=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		exit := (*exec.ExitError)(nil)
		require.ErrorAs(t, err, &exit)
	}
	return string(out)
}

// isChild is false in the ordinary run, which has nothing to do with the tests
// that are meant for a child process.
func isChild() bool { return os.Getenv("SLUICE_TEST_CHILD") == "1" }

func TestLaunchNamesWhatThereIs(t *testing.T) {
	_, _, err := testserver.Launch(t.Context(), "kafka")
	require.ErrorContains(t, err, "dynamodb, elasticmq, localstack, mariadb, postgres, rabbitmq, redis")
}

func TestWithServersRunsACommandWithThem(t *testing.T) {
	t.Parallel()
	testserver.Need(t, "redis")
	cmd := exec.CommandContext(t.Context(), "go", "run", "./withservers", "-servers", "redis", "sh", "-c", "echo URL=$"+testserver.EnvRedis+"; exit 7")
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	require.ErrorAs(t, err, &exit)
	require.Contains(t, string(out), "URL=redis://127.0.0.1:")
	require.Contains(t, string(out), "exit status 7")
}

// The test binaries of one go command share a server, which survives a binary
// that is killed and ends with the command.
func TestARunSharesAServer(t *testing.T) {
	t.Parallel()
	testserver.Need(t, "redis")
	cache := t.TempDir()
	command := filepath.Join(t.TempDir(), "go")
	binary, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(binary, command))
	last := ""
	for range 2 {
		cmd := exec.CommandContext(t.Context(), command, "-test.run=^TestChildRunsTwoBinaries$", "-test.v")
		cmd.Env = append(os.Environ(), "SLUICE_TEST_CHILD=1", testserver.EnvRedis+"=", "SLUICE_CACHE_DIR="+cache)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		found := regexp.MustCompile(`(?m)(?:ADDR=|URL=redis://)(\S+)$`).FindAllStringSubmatch(string(out), -1)
		require.Len(t, found, 2, "%s", out)
		addr := found[0][1]
		require.Equal(t, addr, found[1][1])
		require.NotEqual(t, last, addr, "a new run has a new server")
		last = addr
		require.Eventually(t, func() bool {
			_, err := net.Dial("tcp", addr)
			return err != nil
		}, 20*time.Second, 50*time.Millisecond, "the server still answers")
	}
	left, err := os.ReadDir(filepath.Join(cache, "servers"))
	require.NoError(t, err)
	require.Len(t, left, 1, "the second run removes what the first one left")
}

// It runs under a name that makes it the go command for its children.
func TestChildRunsTwoBinaries(t *testing.T) {
	if !isChild() {
		return
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	holder := exec.CommandContext(t.Context(), binary, "-test.run=^TestChildHoldsARedis$", "-test.v")
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	scan := bufio.NewScanner(out)
	for scan.Scan() && !strings.Contains(scan.Text(), "ADDR=") {
	}
	fmt.Println(scan.Text())
	require.NoError(t, holder.Process.Kill())
	require.Error(t, holder.Wait())
	second, err := exec.CommandContext(t.Context(), binary, "-test.run=^TestChildSharedRedis$", "-test.v").CombinedOutput()
	fmt.Printf("%s", second)
	require.NoError(t, err)
}
