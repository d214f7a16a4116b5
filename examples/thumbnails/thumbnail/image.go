package thumbnail

import (
	"bytes"
	"fmt"
	"image"
	_ "image/gif" // a format that Decode knows
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // a format that Decode knows
)

// shrink returns the thumbnail of an encoded image: no side is longer than size,
// and none is stretched. Nothing larger than maxPixels is decoded: a file of a
// hundred bytes can claim to be an image of ten thousand megapixels, and a
// decoder would believe it.
func shrink(content []byte, size int, maxPixels int64) (image.Image, string, error) {
	c, format, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return nil, "", fmt.Errorf("not an image that can be read: %w", err)
	}
	if c.Width <= 0 || c.Height <= 0 {
		return nil, "", fmt.Errorf("the %s is empty: %d by %d pixels", format, c.Width, c.Height)
	}
	// By division, since the product can overflow.
	if int64(c.Width) > maxPixels/int64(c.Height) {
		return nil, "", fmt.Errorf("the %s is too large: %d by %d pixels, and %d pixels are allowed", format, c.Width, c.Height, maxPixels)
	}
	full, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, "", fmt.Errorf("the %s is broken: %w", format, err)
	}
	w, h := fit(full.Bounds().Dx(), full.Bounds().Dy(), size)
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(small, small.Bounds(), full, full.Bounds(), draw.Src, nil)
	return small, format, nil
}

// fit returns the measures of a thumbnail. An image that is small enough keeps
// its own.
func fit(w, h, size int) (int, int) {
	longest := max(w, h)
	if longest <= size {
		return w, h
	}
	return max(1, w*size/longest), max(1, h*size/longest)
}

// encode writes a photograph as JPEG, and everything else, which can be
// transparent, as PNG. The same image always gives the same bytes.
func encode(img image.Image, format string) (content []byte, extension, contentType string, err error) {
	var b bytes.Buffer
	if format == "jpeg" {
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 85})
		return b.Bytes(), ".jpg", "image/jpeg", err
	}
	err = png.Encode(&b, img)
	return b.Bytes(), ".png", "image/png", err
}
