package outbox

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A row is a message in the table.
type row struct {
	seq       int64
	id        string
	queue     string
	grp       string
	unique    sql.NullString
	content   content
	body      []byte
	createdAt int64 // milliseconds since 1970
	dueAt     int64 // zero: from the start
	nextAt    int64
	token     string
	attempts  int
	err       sql.NullString
	damage    error         // why it has no content
	delay     time.Duration // when it is written
}

// content is what a row's column message has.
type content struct {
	Attributes map[string]string `json:"attributes,omitempty"`
	Group      string            `json:"group,omitempty"`
	DedupeID   string            `json:"dedupe_id"`
}

// newRow returns the row of a message.
func newRow(queue, id, identity string, m *handler.Message) (*row, error) {
	r := &row{queue: queue, id: id, grp: column(m.Group), body: m.Body, delay: m.Delay,
		content: content{Attributes: m.Attributes, Group: m.Group, DedupeID: identity}}
	if m.Delay < 0 {
		return nil, fmt.Errorf("delay %v is negative", m.Delay)
	}
	for what, s := range map[string]string{"group": m.Group, "dedupe ID": m.DedupeID} {
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("the %s is not valid UTF-8", what)
		}
	}
	for k, v := range m.Attributes {
		switch {
		case k == "":
			return nil, fmt.Errorf("an attribute has an empty name")
		case !utf8.ValidString(k), !utf8.ValidString(v):
			return nil, fmt.Errorf("attribute %q is not valid UTF-8", k)
		}
	}
	return r, nil
}

// args returns the parameters by which the row is written.
func (r *row) args() ([]any, error) {
	text, err := json.Marshal(r.content)
	if err != nil {
		return nil, err
	}
	millis := r.delay.Milliseconds()
	if r.delay%time.Millisecond > 0 {
		millis++ // never early
	}
	return []any{r.id, r.queue, r.grp, r.unique, string(text), r.body, millis, millis}, nil
}

// scan reads a row by its columns.
func (r *row) scan(rows interface{ Scan(dest ...any) error }) error {
	var text string
	if err := rows.Scan(&r.seq, &r.id, &r.queue, &r.grp, &text, &r.body, &r.createdAt, &r.dueAt, &r.nextAt, &r.token, &r.attempts, &r.err); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), &r.content); err != nil {
		r.content, r.damage = content{}, fmt.Errorf("row %d has a damaged message: %w (repair it or delete the row)", r.seq, err)
	}
	return nil
}

// message returns the row's message as a queue would deliver it.
func (r *row) message() *handler.Message {
	return &handler.Message{
		ID: r.id, Body: r.body, Attributes: r.content.Attributes, Group: r.content.Group, DedupeID: r.content.DedupeID,
		Attempt: r.attempts, EnqueuedAt: time.UnixMilli(r.createdAt),
	}
}

// column returns a group as its column has it. Groups that no column can have, and long
// ones, become their hash.
func column(group string) string {
	if len(group) <= 200 && utf8.ValidString(group) && !strings.ContainsRune(group, 0) {
		return group
	}
	sum := sha256.Sum256([]byte(group))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// checkQueue returns an error if a queue's name cannot be written.
func checkQueue(queue string) error {
	if queue == "" || len(queue) > 255 || !utf8.ValidString(queue) || strings.ContainsRune(queue, 0) {
		return &drivers.Error{Code: drivers.Invalid, Queue: queue, Op: "send", Err: fmt.Errorf("the name of a queue in an outbox has 1 to 255 bytes of text")}
	}
	return nil
}

// numbers returns numbers of rows as a list in a statement.
func numbers(seqs []int64) string {
	var b []byte
	for i, seq := range seqs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, seq, 10)
	}
	return string(b)
}
