package iam_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// objects is a bucket of both clouds: what their clients need of S3, and of the JSON and XML
// APIs of Cloud Storage. It records the calls.
type objects struct {
	url   string
	calls *calls

	mu    sync.Mutex
	inOne map[string][]byte
}

func newObjects(t *testing.T, c *calls) *objects {
	t.Helper()
	o := &objects{calls: c, inOne: make(map[string][]byte)}
	s := httptest.NewServer(o)
	t.Cleanup(s.Close)
	o.url = s.URL
	return o
}

// keys are those that are there now.
func (o *objects) keys() map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make(map[string]bool)
	for key := range o.inOne {
		out[key] = true
	}
	return out
}

// lose removes the objects that are not among those.
func (o *objects) lose(those map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.inOne {
		if !those[key] {
			delete(o.inOne, key)
		}
	}
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key, ofObject := strings.CutPrefix(r.URL.Path, "/bodies/")
	prefix := r.URL.Query().Get("prefix")
	listed := "bucket"
	if prefix != "" {
		listed = "bucket's prefix"
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/upload/storage/v1/"):
		o.calls.add("objects.insert", "objects")
		name, data, err := upload(r, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o.inOne[name] = data
		answer(w, map[string]any{"name": name, "bucket": "bodies"})
	case strings.HasPrefix(r.URL.Path, "/storage/v1/") || strings.HasPrefix(r.URL.Path, "/b/bodies/o"):
		o.calls.add("objects.list", "bucket")
		items := []map[string]any{}
		for _, name := range o.named(prefix) {
			items = append(items, map[string]any{"name": name, "bucket": "bodies"})
		}
		answer(w, map[string]any{"items": items})
	case r.Method == http.MethodPut:
		o.calls.add("s3:PutObject", "objects")
		o.inOne[key] = body
	case r.Method == http.MethodGet && r.URL.Query().Has("list-type"):
		o.calls.add("s3:ListObjectsV2", listed)
		type object struct {
			Key, LastModified, ETag string
			Size                    int
		}
		var list struct {
			XMLName  xml.Name `xml:"ListBucketResult"`
			Contents []object
		}
		for _, name := range o.named(prefix) {
			list.Contents = append(list.Contents, object{name, "2026-11-29T12:00:00.000Z", `"e"`, len(o.inOne[name])})
		}
		_ = xml.NewEncoder(w).Encode(list)
	case r.Method == http.MethodGet && ofObject:
		if strings.Contains(r.UserAgent(), "aws-sdk") {
			o.calls.add("s3:GetObject", "objects")
		} else {
			o.calls.add("objects.get", "objects")
		}
		data, ok := o.inOne[key]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
			return
		}
		w.Header().Set("Last-Modified", "Sun, 29 Nov 2026 12:00:00 GMT")
		w.Header().Set("X-Goog-Generation", "1")
		_, _ = w.Write(data)
	default:
		o.calls.add(r.Method+" "+r.URL.String(), "?")
		http.Error(w, "what is this?", http.StatusNotImplemented)
	}
}

// named are the sorted names with a prefix.
func (o *objects) named(prefix string) []string {
	var out []string
	for name := range o.inOne {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// upload returns the name and the content of an upload in one request.
func upload(r *http.Request, body []byte) (string, []byte, error) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", nil, err
	}
	parts := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
	first, err := parts.NextPart()
	if err != nil {
		return "", nil, err
	}
	var about struct{ Name string }
	if err := json.NewDecoder(first).Decode(&about); err != nil {
		return "", nil, err
	}
	second, err := parts.NextPart()
	if err != nil {
		return "", nil, err
	}
	data, err := io.ReadAll(second)
	return about.Name, data, err
}
