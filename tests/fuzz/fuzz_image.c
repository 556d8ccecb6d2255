/* Bytes as an image of a vCPU: they are refused with a sentence, or are the image's own to the last bit. */
#include <stdlib.h>
#include <string.h>

#include "hv/image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image image;
	static uint8_t again[IMAGE_BYTES];
	struct why why = {""};

	memset(&image, 0x5a, sizeof(image));
	if (image_decode(data, size, &image, &why)) {
		if (!why.text[0])
			abort();
		return 0;
	}
	image_encode(&image, again);
	if (size != IMAGE_BYTES || memcmp(again, data, IMAGE_BYTES) != 0)
		abort();
	return 0;
}
