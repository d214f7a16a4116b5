package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/format"
	"go/printer"
	"strings"
)

// A page is that of a package.
type page struct {
	pkg   *pkg
	doc   *doc.Package
	pages map[string]bool // the import paths that have one
	b     strings.Builder
}

// synopsis is the package's first sentence.
func (w *page) synopsis() string { return w.doc.Synopsis(w.doc.Doc) }

func (w *page) text() string {
	fmt.Fprintf(&w.b, "# %s\n\n```go\nimport %q\n```\n\n", strings.TrimPrefix(w.pkg.ImportPath, module+"/"), w.pkg.ImportPath)
	w.comment(w.doc.Doc, 2)
	w.examples(w.doc.Examples)
	w.values("Constants", w.doc.Consts)
	w.values("Variables", w.doc.Vars)
	if len(w.doc.Funcs) > 0 {
		w.b.WriteString("## Functions\n\n")
		w.functions(w.doc.Funcs, "", 3)
	}
	if len(w.doc.Types) > 0 {
		w.b.WriteString("## Types\n\n")
	}
	for _, t := range w.doc.Types {
		fmt.Fprintf(&w.b, "### type %s {#%s}\n\n", t.Name, t.Name)
		w.members(t)
		w.declaration(t.Decl)
		w.comment(t.Doc, 5)
		w.examples(t.Examples)
		w.values("", t.Consts)
		w.values("", t.Vars)
		w.functions(t.Funcs, "", 4)
		w.functions(t.Methods, t.Name+".", 4)
	}
	return w.b.String()
}

func (w *page) values(title string, values []*doc.Value) {
	if title != "" && len(values) > 0 {
		fmt.Fprintf(&w.b, "## %s\n\n", title)
	}
	for _, v := range values {
		for _, name := range v.Names {
			fmt.Fprintf(&w.b, "<span id=%q></span>", name)
		}
		w.b.WriteString("\n\n")
		w.declaration(v.Decl)
		w.comment(v.Doc, 5)
	}
}

// members writes the anchors of a type's fields and of an interface's methods.
func (w *page) members(t *doc.Type) {
	var list *ast.FieldList
	for _, spec := range t.Decl.Specs {
		switch of := spec.(*ast.TypeSpec).Type.(type) {
		case *ast.StructType:
			list = of.Fields
		case *ast.InterfaceType:
			list = of.Methods
		}
	}
	if list == nil {
		return
	}
	for _, f := range list.List {
		for _, name := range f.Names {
			fmt.Fprintf(&w.b, "<span id=\"%s.%s\"></span>", t.Name, name.Name)
		}
	}
	w.b.WriteString("\n\n")
}

func (w *page) functions(functions []*doc.Func, of string, level int) {
	for _, f := range functions {
		name := f.Name
		if f.Recv != "" {
			name = fmt.Sprintf("(%s) %s", f.Recv, f.Name)
		}
		fmt.Fprintf(&w.b, "%s func %s {#%s%s}\n\n", strings.Repeat("#", level), strings.ReplaceAll(name, "*", `\*`), of, f.Name)
		w.declaration(f.Decl)
		w.comment(f.Doc, 5)
		w.examples(f.Examples)
	}
}

// declaration writes one without its comment, which follows as text.
func (w *page) declaration(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		d.Doc, d.Body = nil, nil
	case *ast.GenDecl:
		d.Doc = nil
	}
	w.code(w.source(decl))
}

func (w *page) source(node any) string {
	var b bytes.Buffer
	if err := format.Node(&b, w.pkg.files, node); err != nil {
		return "// " + err.Error()
	}
	return b.String()
}

func (w *page) code(text string) {
	fmt.Fprintf(&w.b, "```go\n%s\n```\n\n", strings.TrimSpace(text))
}

func (w *page) examples(examples []*doc.Example) {
	for _, e := range examples {
		title := "Example"
		if e.Suffix != "" {
			title += ": " + strings.ReplaceAll(e.Suffix, "_", " ")
		}
		fmt.Fprintf(&w.b, "**%s**\n\n", title)
		if e.Doc != "" {
			w.comment(e.Doc, 5)
		}
		node := any(e.Code)
		if e.Play != nil {
			node = e.Play
		}
		text := w.source(&printer.CommentedNode{Node: node, Comments: e.Comments})
		if body, ok := strings.CutPrefix(text, "{\n"); ok { // of a function: without the braces, and its output follows
			body, _, _ = strings.Cut(strings.TrimSuffix(body, "}"), "\n\t// Output:")
			text = strings.ReplaceAll("\n"+body, "\n\t", "\n")
		}
		w.code(text)
		if e.Output != "" {
			fmt.Fprintf(&w.b, "Output:\n\n```text\n%s\n```\n\n", strings.TrimSpace(e.Output))
		}
	}
}

// comment writes a comment. Its links to packages of this module lead to their pages.
func (w *page) comment(text string, level int) {
	p := w.doc.Printer()
	p.HeadingLevel = level
	p.HeadingID = func(*comment.Heading) string { return "" }
	p.DocLinkURL = func(l *comment.DocLink) string {
		url := l.DefaultURL("https://pkg.go.dev/")
		anchor := l.Name
		if l.Recv != "" {
			anchor = l.Recv + "." + l.Name
		}
		if anchor != "" {
			anchor = "#" + anchor
		}
		switch {
		case l.ImportPath == "":
			return anchor
		case w.pages[l.ImportPath]:
			return file(l.ImportPath) + anchor
		}
		return url
	}
	w.b.Write(p.Markdown(w.doc.Parser().Parse(text)))
	w.b.WriteString("\n")
}
