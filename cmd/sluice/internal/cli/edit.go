package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/handler"
)

// An editCommand changes a dead letter and sends it back.
type editCommand struct {
	*app
	lookFlags
	id   string
	file string
	text string // the file that an editor has changed, until the message is sent
}

func newEdit(a *app) *cobra.Command {
	e := &editCommand{app: a}
	c := &cobra.Command{
		Use:   "edit QUEUE --id ID",
		Short: "Change a dead letter and send it back",
		Long: `Opens the dead letter with this ID in $VISUAL or $EDITOR, as JSON with its attributes,
group, dedupe ID and body ("json" if the body is JSON, else "body", or "body_base64" if it
is not text). When the editor ends, the changed message is sent to QUEUE, and the letter is
deleted after that. If nothing was changed, or the editor fails, nothing is done. While the
editor is open the letter is kept out of sight; if it is lost meanwhile, nothing is sent.

With --file the changed message is read from a file, such as the one that is kept if it
is not valid.`,
		Example: `  sluice edit orders --id 7d2f…
  EDITOR='code --wait' sluice edit orders --id 7d2f…`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.run(cmd.Context(), args[0])
		},
	}
	e.lookFlags.add(c.Flags())
	c.Flags().StringVar(&e.id, "id", "", "the letter's `ID`, which \"sluice letters\" shows")
	c.Flags().StringVar(&e.file, "file", "", "read the changed message from this `FILE` instead of opening an editor")
	return c
}

// editResult is edit's JSON.
type editResult struct {
	Queue  string `json:"queue"`
	ID     string `json:"id"`
	SentID string `json:"sent_id,omitempty"` // of the message that was sent
	Sent   bool   `json:"sent"`
	place
}

func (e *editCommand) run(ctx context.Context, queue string) (err error) {
	if e.id == "" {
		return usage("edit: give --id: sluice letters %s -v%s shows the IDs", quoted(queue), e.given())
	}
	q, source, err := e.openExisting(ctx, queue)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	at := placeOf(q, source)
	at.announce(e.log, "editing a dead letter")
	e.lookable(ctx, e.app, source)
	sent, err := redrive.Edit(ctx, source, e.id, &redrive.EditOptions{SpendAttempts: e.spend}, e.change)
	switch {
	case err != nil && sent == nil && e.text != "":
		return fmt.Errorf("%w; the file is kept: %s; to send it: sluice edit %s --id %s --file %s%s", err, e.text, quoted(queue), quoted(e.id), quoted(e.text), e.given())
	case err != nil && sent == nil:
		return err
	case e.text != "":
		err = errors.Join(err, os.Remove(e.text))
	}
	result := editResult{Queue: at.Queue, place: at, ID: e.id, Sent: sent != nil}
	said := fmt.Sprintf("nothing was changed: letter %s remains", printable(e.id))
	if sent != nil {
		result.SentID = sent.ID
		said = fmt.Sprintf("sent the changed letter to %s as %s", at.Queue, printable(sent.ID))
	}
	return errors.Join(err, e.print(result, "%s\n", said))
}

// change has a person change a message, or reads it from the file.
func (e *editCommand) change(ctx context.Context, m *handler.Message) (*handler.Message, error) {
	before := newEditable(m)
	original, err := before.text()
	if err != nil {
		return nil, err
	}
	path := e.file
	if path == "" {
		if path, err = e.open(ctx, original); err != nil {
			return nil, err
		}
		e.text = path
	}
	changed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(bytes.TrimSpace(changed), bytes.TrimSpace(original)) {
		return nil, nil
	}
	if err := before.apply(changed, m); err != nil {
		return nil, fmt.Errorf("edit: %s: %w; nothing was done", path, err)
	}
	return m, nil
}

// open lets a person edit a text, and returns the path of the file that has it.
func (e *editCommand) open(ctx context.Context, text []byte) (path string, err error) {
	f, err := os.CreateTemp("", "sluice-letter-*.json")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	editor := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	// A shell, as with git: the variable may have options.
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stderr, os.Stderr // stdout is for the result
	if err := cmd.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("edit: the editor %q failed, and nothing was done: %w", editor, err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}
