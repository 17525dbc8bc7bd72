"""TFRecord and Parquet files as the libraries that own these formats write them."""

import io
import json

from PIL import Image

KINDS = ("PNG", "JPEG", "WEBP")


def encoded(number):
    """Return an image of one grey value, in one of three formats."""
    stream = io.BytesIO()
    options = {"lossless": True} if number % 3 == 2 else {}
    Image.new("RGB", (9, 7), (20 * number,) * 3).save(stream, KINDS[number % 3], **options)
    return stream.getvalue()


def write_tfrecord(path, numbers, label=None, image="image", patient=None):
    import tensorflow as tf

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in numbers:
            fields = {image: feature(encoded(number))}
            for name, value in (("label", label), ("patient", patient)):
                found = value(number) if value else None
                if found is not None:
                    fields[name] = feature(found)
            example = tf.train.Example(features=tf.train.Features(feature=fields))
            writer.write(example.SerializeToString())


def write_parquet(path, numbers, label=lambda number: number % 2, names=None, plain=False, **more):
    import pyarrow as pa
    import pyarrow.parquet

    images = [encoded(number) for number in numbers]
    image = images if plain else [{"bytes": content, "path": None} for content in images]
    columns = {"image": pa.array(image)}
    if label:
        columns["label"] = pa.array([label(number) for number in numbers])
    table = pa.table(columns | {name: pa.array(values) for name, values in more.items()})
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pa.parquet.write_table(table, path, row_group_size=2)
