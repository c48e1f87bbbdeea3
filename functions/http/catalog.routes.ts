/** The routes of the catalog: what can be sold, and how operators fill it. */
import { NewPicture, Picture, PicturePath, PictureUpload } from '#catalog/picture.shapes.ts';
import {
  Imported,
  ImportFile,
  ImportQuery,
  maxImportBytes,
  NewProduct,
  Product,
  ProductChange,
  ProductPage,
  ProductPath,
  ProductQuery,
} from '#catalog/product.shapes.ts';
import { defineRoute } from '#platform/handlers/route.ts';

const tag = 'Catalog';

export const listProductsRoute = defineRoute({
  method: 'GET',
  path: '/products',
  summary: 'All products, the newest first',
  tag,
  auth: 'none',
  query: ProductQuery,
  status: 200,
  reply: ProductPage,
  takesProof: true,
  refusals: [],
});

export const getProductRoute = defineRoute({
  method: 'GET',
  path: '/products/{productId}',
  summary: 'One product',
  tag,
  auth: 'none',
  params: ProductPath,
  status: 200,
  reply: Product,
  takesProof: true,
  refusals: ['not_found'],
});

export const createProductRoute = defineRoute({
  method: 'POST',
  path: '/products',
  summary: 'Add a product',
  tag,
  auth: 'operator',
  scope: 'catalog:write',
  idempotent: 'optional',
  body: NewProduct,
  example: {
    sku: 'LAMP-01',
    name: 'Brass lamp',
    description: 'Numbered, one of 500.',
    price: { amountMinor: 12_900, currency: 'EUR' },
  },
  status: 201,
  reply: Product,
  refusals: ['unprocessable', 'sku_taken', 'reference_taken'],
});

export const updateProductRoute = defineRoute({
  method: 'PATCH',
  path: '/products/{productId}',
  summary: 'Change the given fields of a product; sales keep the price they were created with',
  tag,
  auth: 'operator',
  scope: 'catalog:write',
  params: ProductPath,
  idempotent: 'optional',
  body: ProductChange,
  example: { price: { amountMinor: 11_900, currency: 'EUR' } },
  status: 200,
  reply: Product,
  refusals: ['not_found'],
});

export const addPictureRoute = defineRoute({
  method: 'POST',
  path: '/products/{productId}/pictures',
  summary: 'Announce a picture of a product; the answer is a form by which its file is brought',
  description:
    'Post the file as the form says, within ten minutes, and then call POST /products/{productId}/pictures/{pictureId}/shown. JPEG, PNG and WebP of at most 5 MiB, eight for each product.',
  tag,
  auth: 'operator',
  scope: 'catalog:write',
  params: ProductPath,
  idempotent: 'optional',
  body: NewPicture,
  example: {
    type: 'image/jpeg',
    bytes: 284_113,
    alt: { en: 'A brass lamp on a desk', ko: '책상 위의 황동 램프' },
  },
  status: 201,
  reply: PictureUpload,
  refusals: ['not_found', 'too_many_pictures'],
});

export const showPictureRoute = defineRoute({
  method: 'POST',
  path: '/products/{productId}/pictures/{pictureId}/shown',
  summary: 'Show a picture whose file has come, if it is what was announced',
  tag,
  auth: 'operator',
  scope: 'catalog:write',
  params: PicturePath,
  idempotent: 'optional',
  status: 200,
  reply: Picture,
  refusals: ['not_found', 'picture_missing', 'not_a_picture'],
});

export const removePictureRoute = defineRoute({
  method: 'DELETE',
  path: '/products/{productId}/pictures/{pictureId}',
  summary: 'Remove a picture from a product',
  tag,
  auth: 'operator',
  scope: 'catalog:write',
  params: PicturePath,
  idempotent: 'optional',
  status: 204,
  refusals: ['not_found'],
});

export const importProductsRoute = defineRoute({
  method: 'POST',
  path: '/products/import',
  summary: 'Create and update products from a CSV file, all of it or nothing',
  tag,
  auth: 'operator',
  scope: 'catalog:write',
  query: ImportQuery,
  idempotent: 'optional',
  body: ImportFile,
  example: 'sku,name,description,price_minor,currency\nLAMP-01,Brass lamp,"Numbered, one of 500.",12900,EUR\n',
  bodyType: 'text/csv',
  mayBeBytes: true,
  maxBodyBytes: maxImportBytes,
  status: 200,
  reply: Imported,
  refusals: ['unprocessable', 'import_rejected'],
});
